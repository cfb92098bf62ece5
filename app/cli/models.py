"""The command `models`: what is in the model folders, and what can be done with a model file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from app.cli import download, model_info, model_list, model_rewrite, model_verify
from app.cli.arguments import Parser
from app.cli.factories import Factories
from app.schema.errors import UnknownChoice

Action = Callable[[Sequence[str], Mapping[str, str], Factories], int]

OVERVIEW = """\
  webui.py models [list] [KIND]          what is in the model folders
  webui.py models info NAME              what a file holds, its hashes, its trigger words
  webui.py models verify [NAME ...]      read files to their last byte and say what is wrong
  webui.py models convert NAME [...]     write a file again as safetensors
  webui.py models prune NAME [...]       the same, less what no picture needs, in fp16
  webui.py models download SOURCE [...]  fetch a model from a repository or an address

NAME is a name, title or hash of the library, or a path. `webui.py models ACTION --help` says what an action reads.
"""


ACTIONS: dict[str, Action] = {
    "list": model_list.run,
    "info": model_info.run,
    "verify": model_verify.run,
    "convert": model_rewrite.convert,
    "prune": model_rewrite.prune,
    "download": download.run,
}


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """Carry out one action; without one, `list`."""
    if arguments and arguments[0] in ("--help", "-h"):
        Parser(prog="webui.py models", usage="webui.py models [ACTION] ...", description=OVERVIEW).parse_args(arguments)
    if not arguments or arguments[0].startswith("-"):
        return model_list.run(arguments, environ, factories)
    action = ACTIONS.get(arguments[0])
    if action is None:
        near = difflib.get_close_matches(arguments[0], ACTIONS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(ACTIONS)}."
        raise UnknownChoice(f"`models` has no action '{arguments[0]}'.", field="action", hint=hint)
    return action(arguments[1:], environ, factories)
