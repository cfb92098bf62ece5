"""`models verify`: reads model files to their last byte and says of each whether it is sound."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.model_choice import add_kind, chosen, listed
from app.cli.progress_line import progress_line
from app.files import ModelFile, ModelLibrary, Verified, verify
from app.files.hashes import SHA256
from app.schema.errors import InvalidField

OWN = frozenset({"names", "kind", "json", "sha256"})


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models verify [NAME ...]`; 1 where one is not sound."""
    parser = Parser(
        prog="webui.py models verify",
        description="Reads files whole: structure, checksums, numbers that are none (NaN, infinity), and hashes that "
        "stand beside a file (.sha256, .civitai.info) or in its metadata.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names, titles, hashes or paths [all files]")
    add_kind(parser)
    parser.add_argument("--sha256", default="", metavar="HEX", help="what the one file's should be, 8 digits or more")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    if typed.sha256 and len(typed.names) != 1:
        raise InvalidField("--sha256 goes with one NAME.", field="--sha256")
    library = factories.library(launch_options(environ, typed, OWN))
    try:
        files = [chosen(library, name, typed.kind) for name in typed.names] or listed(library, typed.kind)
        told = [_verified(library, file, typed) for file in files]
    finally:
        library.close()
    if typed.json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        bad = sum(not one["sound"] for one in told)
        print(f"{len(told)} files verified, {bad or 'none'} of them with something wrong.")
    return 0 if all(one["sound"] for one in told) else 1


def _verified(library: ModelLibrary, file: ModelFile, typed: Any) -> dict[str, Any]:
    with progress_line(file.name) as progress:
        found = verify(file.path, typed.sha256, progress)
    if found.sha256:
        library.hashes.remember({file.identity: found.sha256}, SHA256)
    # A sound file may still be of the wrong kind for its folder; what is broken has been said by now.
    if file.problem is not None and found.sha256 and file.problem.text not in found.problems:
        found.problems.append(file.problem.text)
    if not typed.json:
        _print(file, found)
    return {
        "name": file.name,
        "path": str(file.path),
        "sound": found.sound,
        "problems": found.problems,
        "notes": found.notes,
        "content": found.content,
        "size": found.size,
        "tensors": found.tensors,
        "sha256": found.sha256 or None,
        "unfinite": {name: count._asdict() for name, count in found.unfinite.items()},
    }


def _print(file: ModelFile, found: Verified) -> None:
    measure = f"{found.tensors} tensors, {found.size / 1e6:,.1f} MB"
    print(f"{'sound' if found.sound else 'WRONG'}  {file.name}  ({found.content or 'nothing'}; {measure})")
    for line in (*found.problems, *found.notes):
        print(f"       {line}")
    if found.sha256:
        print(f"       sha256 {found.sha256}")
