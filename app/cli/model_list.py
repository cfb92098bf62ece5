"""`models list`: a line for each file, with the reason of those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.model_choice import add_kind, listed
from app.cli.model_info import facts
from app.files import KINDS, ModelFile

OWN = frozenset({"name", "kind", "json"})


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models list [KIND]`."""
    parser = Parser(prog="webui.py models list", description="What is in the model folders.")
    parser.add_argument("name", nargs="?", default="", metavar="KIND", help=f"one of: {', '.join(KINDS)}")
    add_kind(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    library = factories.library(launch_options(environ, typed, OWN))
    try:
        files = listed(library, typed.kind or typed.name)
    finally:
        library.close()
    if typed.json:
        print(json.dumps([facts(file) for file in files], indent=1, ensure_ascii=False))
        return 0
    for file in files:
        print(f"{file.kind:<14} {file.size / 1e6:>9,.1f} MB  {file.summary.family:<6} {file.name}{_grey(file)}")
    broken = sum(file.problem is not None for file in files)
    print(f"{len(files)} files{f', {broken} of them cannot be used' if broken else ''}.")
    return 0


def _grey(file: ModelFile) -> str:
    return f"  ({file.problem.text})" if file.problem else ""
