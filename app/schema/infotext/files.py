"""Which model files an infotext names, and what they are called here.

By hash first, then by name, in A1111's, Forge's and civitai's entries. Asks a function what is here; knows no folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from app.schema.choices import AUTOMATIC
from app.schema.errors import EaselError
from app.schema.infotext.networks import civitai_hashes

Find = Callable[[str], str | None]

_FORGE_MODULE: Final = re.compile(r"Module [0-9]+")
_NO_FILE: Final = {"automatic": AUTOMATIC, "none": "None", "baked in": "None"}


class NamedFile(NamedTuple):
    """found: what to ask for, "" when it is not here. wanted: what the text calls it, "" when it names none.

    keys: of the entries that name it.
    """

    found: str
    wanted: str
    keys: tuple[str, ...]


def find_checkpoint(fields: Mapping[str, str], find: Find) -> NamedFile:
    """The checkpoint of `Model hash` and `Model`, else of civitai's `Hashes`."""
    names = {"Model hash": fields.get("Model hash", ""), "Model": fields.get("Model", "")}
    if not any(names.values()):
        names["Hashes"] = civitai_hashes(fields).get("model", "")
    return _found(names, find)


def find_vae(fields: Mapping[str, str], find: Find) -> NamedFile:
    """The VAE of `VAE hash` and `VAE`, else the first of Forge's `Module N` that is one here."""
    name = fields.get("VAE", "")
    word = _NO_FILE.get(name.casefold())
    if word is not None:
        return NamedFile(word, name, ("VAE", "VAE hash"))
    if not name and not fields.get("VAE hash"):
        for key, module in _modules(fields):
            file = _found({key: module}, find)
            if file.found:
                return file
    return _found({"VAE hash": fields.get("VAE hash", ""), "VAE": name}, find)


def _modules(fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in fields.items() if _FORGE_MODULE.fullmatch(key))


def _found(names: Mapping[str, str], find: Find) -> NamedFile:
    given = {key: name for key, name in names.items() if name}
    for name in given.values():
        with suppress(EaselError):
            found = find(name)
            if found:
                return NamedFile(found, name, tuple(given))
    hashes = [f"[{name[:80]}]" for key, name in given.items() if "ash" in key]
    names_only = [f"'{name[:80]}'" for key, name in given.items() if "ash" not in key]
    wanted = " ".join([*names_only, *hashes])
    return NamedFile("", wanted, tuple(given))
