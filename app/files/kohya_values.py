"""Values of a sd-scripts TOML: numbers, names and `key=value` lists, or the reason why one cannot be meant.

Every problem names its key. Knows nothing of what a key does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from app.schema.errors import TrainingProblem

Flat = Mapping[str, Any]
"""All keys of a TOML without their tables; those with an empty value are left out."""


class Imported(NamedTuple):
    """fields: of a TrainingRequest. left_out: keys that mean nothing here, or in words what of a key is not taken."""

    fields: dict[str, Any]
    left_out: tuple[str, ...]


def number(flat: Flat, key: str, default: float, field: str | None = None) -> float:
    """The key's number, or the default. field: of the problem, where it is not the key. Raises TrainingProblem."""
    try:
        read = float(flat.get(key, default))
    except (TypeError, ValueError, OverflowError):
        read = math.nan
    if not math.isfinite(read):
        raise TrainingProblem(f"{key} '{flat[key]}' is no number.", field=field or key, hint="Write it like 4 or 1e-4.")
    return read


def whole(flat: Flat, key: str, default: int, field: str | None = None) -> int:
    """The key's whole number, or the default. Raises TrainingProblem."""
    read = number(flat, key, default, field)
    if not read.is_integer():
        raise TrainingProblem(f"{key} '{flat[key]}' is no whole number.", field=field or key, hint="Write it like 4.")
    return int(read)


def known(table: Mapping[str, str], flat: Flat, key: str, default: str) -> str:
    """What the table has for the key's name, capitals aside. Raises TrainingProblem for a name that is not in it."""
    name = str(flat.get(key, default))
    found = table.get(name.lower())
    if found is None:
        raise TrainingProblem(f"{key} '{name}' is not served.", field=key, hint=f"There are {', '.join(table)}.")
    return found


def arguments(flat: Flat, key: str) -> dict[str, str]:
    """A list of 'key=value', or one text of them with spaces between. Raises TrainingProblem."""
    value = flat.get(key, [])
    parts = [str(part) for part in value] if isinstance(value, list) else str(value).split()
    wrong = next((part for part in parts if "=" not in part), None)
    if wrong is not None:
        raise TrainingProblem(f"'{wrong}' in {key} is no 'key=value'.", field=key, hint="Write it like conv_dim=4.")
    pairs = (part.partition("=") for part in parts)
    return {name.strip(): value.strip() for name, _, value in pairs}


def does_nothing(value: object) -> bool:
    """Whether a value switches its key off, as kohya reads it."""
    return str(value).lower() in ("", "0", "0.0", "false", "none")
