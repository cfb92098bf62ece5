"""Upscaler names: which file an upscaler's name means, under A1111's own names and the files' stems."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from app.files.folders import UPSCALER
from app.files.library import ModelLibrary
from app.files.model_file import ModelFile
from app.schema.choices import LATENT_MODES, PLAIN_UPSCALERS, UPSCALER_FILES
from app.schema.errors import UnknownChoice


class NamedUpscaler(NamedTuple):
    """One entry of the menu. file: None for those that need none."""

    name: str
    file: ModelFile | None


def upscalers(library: ModelLibrary, brought: Sequence[str] = ()) -> list[NamedUpscaler]:
    """None, Lanczos, Nearest, then the usable files by name, as A1111 orders them, then those that extensions brought,
    whose names go before those of files."""
    known = {stem.casefold(): name for name, stems in UPSCALER_FILES.items() for stem in stems}
    files: dict[str, ModelFile] = {}
    for file in library.list(UPSCALER):
        stem = Path(file.file_name).stem
        if file.problem is None:
            files.setdefault(known.get(stem.casefold(), stem), file)
    own = {name.casefold() for name in brought}
    named = [NamedUpscaler(name, files[name]) for name in sorted(files, key=str.casefold) if name.casefold() not in own]
    without_file = [[NamedUpscaler(name, None) for name in names] for names in (PLAIN_UPSCALERS, brought)]
    return [*without_file[0], *named, *without_file[1]]


def find_upscaler(
    library: ModelLibrary, name: str, brought: Sequence[str] = (), *, latent: bool = False
) -> NamedUpscaler:
    """The upscaler of this name or with this file, capitals aside. brought: names of those that extensions brought.
    latent: hires fix's latent modes count, too.

    Raises UnknownChoice with the nearest names.
    """
    wanted = name.strip().casefold()
    entries = [*(NamedUpscaler(mode, None) for mode in LATENT_MODES if latent), *upscalers(library, brought)]
    for entry in entries:
        names = [entry.name, *((entry.file.file_name, Path(entry.file.file_name).stem) if entry.file else ())]
        if wanted in (one.casefold() for one in names):
            return entry
    by_folded = {entry.name.casefold(): entry.name for entry in entries}
    near = [by_folded[match] for match in get_close_matches(wanted, by_folded, n=3, cutoff=0.4)]
    hint = f"Nearest: {', '.join(near)}. " if near else ""
    raise UnknownChoice(
        f"There is no upscaler called {name[:80]!r}.",
        field="upscaler",
        hint=f"{hint}Upscaler files belong into models/ESRGAN and the folders beside it.",
    )
