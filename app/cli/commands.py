"""Chooses the sub-command, runs it, and turns errors meant for people into lines and an exit status."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from app import __version__
from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.schema.errors import EaselError, InvalidField, NotServedYet, UnknownChoice
from app.schema.flags import FLAGS

Command = Callable[[Sequence[str], Mapping[str, str], Factories], int]

WRONG_USE = 2
STOPPED = 130

OVERVIEW = f"""\
Easel {__version__}: a Stable Diffusion web UI.

  webui.py [flags]                       start the server and open the page
  webui.py generate "a prompt" [...]     make pictures without the page
  webui.py train RUN.toml [...]          train without the page; the same command goes on with what it left
  webui.py models [list|info|verify]     what is in the model folders
  webui.py models convert|prune NAME     write a model file again as safetensors, whole or less what none needs
  webui.py models download SOURCE        fetch a model from a repository or an address
  webui.py doctor                        what this machine has, and what repairs what is wrong
  webui.py test [--slow]                 run the test-suite

`webui.py COMMAND --help` says what a command reads. COMMANDLINE_ARGS may hold flags for every start.
"""


def serve(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """The server; what there is without a sub-command."""
    parser = Parser(prog="webui.py", description=OVERVIEW, epilog=_not_served(), usage="webui.py [COMMAND] [flags]")
    add_flags(parser)
    return factories.serve(launch_options(environ, read(parser, arguments, environ)))


# The other commands are loaded when they are called: a start of the server is not to wait for them.
def generate(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """Pictures without the page."""
    from app.cli.generate import run  # noqa: PLC0415

    return run(arguments, environ, factories)


def models(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """What is in the model folders."""
    from app.cli.models import run  # noqa: PLC0415

    return run(arguments, environ, factories)


def doctor(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """What this machine has."""
    from app.cli.doctor import run  # noqa: PLC0415

    return run(arguments, environ, factories)


def train(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """A training without the page."""
    from app.cli.train import run  # noqa: PLC0415

    return run(arguments, environ, factories)


COMMANDS: dict[str, Command] = {
    "serve": serve,
    "generate": generate,
    "models": models,
    "doctor": doctor,
    "train": train,
}


def main(arguments: Sequence[str], factories: Factories, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command line; the exit status: 0, 1 when it failed, 2 when it was not understood, 130 when stopped."""
    try:
        command, rest = _chosen(list(arguments), environ, factories)
        return command(rest, environ, factories)
    except (InvalidField, NotServedYet) as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    except EaselError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED


def _chosen(arguments: list[str], environ: Mapping[str, str], factories: Factories) -> tuple[Command, list[str]]:
    if not arguments or arguments[0].startswith("-"):
        return serve, arguments
    name = arguments[0]
    if name in COMMANDS:
        return COMMANDS[name], arguments[1:]
    # Asked last: an extension takes no name of ours, and no start of ours waits for it.
    brought = factories.commands(launch_options(environ))
    if name in brought:
        return (lambda rest, environ, factories: brought[name].run(list(rest))), arguments[1:]
    near = difflib.get_close_matches(name, [*COMMANDS, *brought], n=1)
    raise UnknownChoice(
        f"There is no command '{name}'.", hint=f"Did you mean {near[0]}?" if near else "--help lists what there is."
    )


def _not_served() -> str:
    names = [row.name for row in FLAGS if row.status in ("not yet", "never")]
    return f"Of A1111's flags, {len(names)} are not served yet; each says what to do instead when it is given."
