"""Model choice: which file a typed word means: a path, or a name, title or hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.cli.arguments import Parser
from app.files import CHECKPOINT, KINDS, ModelFile, ModelLibrary
from app.schema.errors import ModelNotFound


def add_kind(parser: Parser) -> None:
    """The option that narrows a search to one kind."""
    parser.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"one of: {', '.join(KINDS)}")


def chosen(library: ModelLibrary, text: str, kind: str | None = None) -> ModelFile:
    """The entry that a word means, broken ones too; a path where there is something under it.

    Raises ModelNotFound, with what looks similar among the checkpoints.
    """
    if Path(text).expanduser().exists():
        return _listed_at(library, Path(text).expanduser()) or library.entry_at(text)
    problem: ModelNotFound | None = None
    for one in [kind] if kind else KINDS:
        try:
            return library.entry(text, one)
        except ModelNotFound as error:
            problem = error if problem is None or one == CHECKPOINT else problem
    assert problem is not None
    raise problem


def listed(library: ModelLibrary, kind: str | None) -> Sequence[ModelFile]:
    """All entries of a kind, of every kind for None. Raises ModelNotFound for what is no kind."""
    if kind and kind not in KINDS:
        raise ModelNotFound(
            f"There is no kind of model named '{kind}'.", field="kind", hint=f"One of: {', '.join(KINDS)}."
        )
    return [file for one in ([kind] if kind else KINDS) for file in library.list(one)]


def _listed_at(library: ModelLibrary, path: Path) -> ModelFile | None:
    """The library's own entry for a path, which knows in what folder it lies."""
    place = path.absolute()
    below = (kind for kind in KINDS if any(place.is_relative_to(folder) for folder in library.folders.of_kind(kind)))
    return next((file for kind in below for file in library.list(kind) if file.path == place), None)
