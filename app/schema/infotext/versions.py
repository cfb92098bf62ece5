"""Which old behaviour a picture needs, told from the version that made it.

A1111's changes by version (a1111-facts 4.3). Reads numbers as Python's packages do (PEP 440), as far as git
describe and release names need it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

Version = tuple[tuple[int, ...], tuple[int, int]]
"""Release numbers without zeros at the end; then what orders equal ones: development, alpha ... release, post."""

_DESCRIBED: Final = re.compile(r"([^-]+-[^-]+)-")
_VERSION: Final = re.compile(
    r"v?(?P<release>\d{1,9}(?:\.\d{1,9})*)"
    r"(?:[-_.]?(?P<phase>a|alpha|b|beta|c|rc|pre|preview)[-_.]?(?P<number>\d{0,9}))?"
    r"(?:-(?P<after>\d{1,9})|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_number>\d{0,9}))?"
    r"(?P<development>[-_.]?dev[-_.]?\d{0,9})?",
    re.IGNORECASE,
)
_PHASES: Final = {"a": 1, "alpha": 1, "b": 2, "beta": 2, "c": 3, "rc": 3, "pre": 3, "preview": 3}
_DEVELOPMENT, _RELEASE, _AFTER = 0, 4, 5


def read_version(text: str) -> Version | None:
    """A version to compare, such as `v1.7.0-225-g1234567`; None for what is no version of A1111's (Forge's, ours)."""
    described = _DESCRIBED.match(text)
    found = _VERSION.fullmatch((described[1] if described else text).strip())
    if found is None:
        return None
    release = tuple(int(number) for number in found["release"].split("."))
    while release and release[-1] == 0:
        release = release[:-1]
    return release, _phase(found)


def compatibility(fields: Mapping[str, str], prompt: str) -> dict[str, bool]:
    """Entries that stand for what the version did and later ones do otherwise; none without a version."""
    version = read_version(fields.get("Version", ""))
    if version is None:
        return {}
    old = {
        "Old prompt editing timelines": version < _V1_6 and "[" in prompt,
        "Pad conds v0": version < _V1_6 and fields.get("Sampler") in ("DDIM", "PLMS"),
        "Downcast alphas_cumprod": version < _V1_7_225,
        "Refiner switch by sampling steps": version < _V1_8 and bool(fields.get("Refiner")),
    }
    return {key: True for key, needed in old.items() if needed}


def _phase(found: re.Match[str]) -> tuple[int, int]:
    if found["after"] or found["post"]:
        return _AFTER, int(found["after"] or found["post_number"] or 0)
    if found["phase"]:
        return _PHASES[found["phase"].casefold()], int(found["number"] or 0)
    return (_DEVELOPMENT, 0) if found["development"] else (_RELEASE, 0)


_V1_6: Final[Version] = ((1, 6), (_RELEASE, 0))
_V1_7_225: Final[Version] = ((1, 7), (_AFTER, 225))
_V1_8: Final[Version] = ((1, 8), (_RELEASE, 0))
