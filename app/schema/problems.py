"""What is wrong with untrusted values, in words: the first thing that pydantic found, at its field."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

_LONGEST = 60


class Problem(NamedTuple):
    """field: its names and numbers joined by dots, '' for the whole. text: begins small and has no end mark. shown:
    what was given, as ' (got 3)', or '' where that is long."""

    field: str
    text: str
    shown: str

    @property
    def words(self) -> str:
        """A sentence without what was given."""
        return f"{self.field}: {self.text}." if self.field else f"{self.text[:1].upper()}{self.text[1:]}."


def first_problem(error: ValidationError) -> Problem:
    """The first of them. The kinds that pydantic tried for a value of several are no part of its field."""
    found = error.errors(include_url=False, include_context=False)[0]
    places = [str(part) for part in found["loc"]]
    kinds = [number for number, part in enumerate(places) if not part.isidentifier() and not part.isdigit()]
    text = found["msg"].removeprefix("Value error, ")
    given = repr(found["input"])
    return Problem(
        ".".join(places[: kinds[0]] if kinds else places),
        f"{text[:1].lower()}{text[1:]}",
        "" if len(given) > _LONGEST else f" (got {given})",
    )
