"""The documentation names every hook with its arguments, and every name that the interface promises exists."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from app import extension_api
from app.hooks import ENGINE_HOOKS, PAGE_HOOKS, Questions

DOCS = (Path(__file__).parents[2] / "docs" / "extensions.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)\(([^)]*)\)` \| (.+) \| (.+) \|$", re.MULTILINE)


def signatures() -> dict[str, str]:
    """Hook -> its arguments as one writes them."""
    found = {}
    for name, function in inspect.getmembers(Questions, inspect.isfunction):
        arguments = list(inspect.signature(function).parameters)
        found[name] = ", ".join(arguments[1:])  # without self
    return found


def test_every_hook_stands_in_the_documentation_with_its_arguments() -> None:
    documented = {name: arguments for name, arguments, _, _ in ROW.findall(DOCS)}
    assert documented == signatures()


def test_each_is_said_to_be_asked_when_it_is() -> None:
    for name, _, _, asked in ROW.findall(DOCS):
        if name in PAGE_HOOKS:
            assert asked.startswith(("at the start", "likewise")), name
        else:
            assert asked == ("with the engine" if name in ENGINE_HOOKS else "during work"), name


def test_types_that_it_names_are_promised_by_the_interface() -> None:
    named = set(re.findall(r"`([A-Z][a-z]\w+)(?:\([\w, ]*\))?`s?", DOCS))
    # Not types of the interface.
    own = {"Frame", "Undo", "Midpoint", "Quadratic", "Doubling", "None"}
    assert {"Guide", "Scene", "SamplerEntry", "Target"} <= named
    assert named - own <= set(extension_api.__all__)


def test_entries_are_written_with_the_fields_that_they_have() -> None:
    entries = re.findall(r"`(\w+Entry|Tab|Command|Stage)\(([\w, ]+)\)`", DOCS)
    assert len(entries) >= 7
    for name, fields in entries:
        assert fields.split(", ") == list(getattr(extension_api, name)._fields), name
