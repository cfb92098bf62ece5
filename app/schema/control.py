"""Control: how one request field shows itself in the form, the API and the infotext.

Knows nothing of widgets: a front end reads controls and builds its own.
"""

from __future__ import annotations

from typing import NamedTuple, get_args, get_origin

from pydantic import BaseModel


class Control(NamedTuple):
    """How one field shows itself.

    minimum, maximum, step: of the slider; the field's own validation may be wider.
    choices: name of a list in `choices.py`, or of one filled at run time ("checkpoints").
    api: the field's name in /sdapi/v1. infotext: its key in the 'parameters' text; two fields whose keys end in -1 and
    -2 stand there as one size ("Size-1" and "Size-2" as `Size: 512x768`).
    change_cost: 0 free ... 10 reloads a model; orders the axes of grids. holds: of an extension's text, 'prompt' or
    'negative_prompt' (styles are merged in, comments left out), 'picture' (the hash of one) or 'saving' (no picture
    depends on it); 'switch': says in infotexts and in A1111's interface that the extension is on, and is not shown.
    """

    label: str
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: str | None = None
    api: str | None = None
    infotext: str | None = None
    change_cost: int = 0
    holds: str | None = None


class Script(NamedTuple):
    """An entry of A1111's Script menu that an extension's values ask for; their model lists its own in MENU_SCRIPTS.

    A request has one at most. arguments: the fields that `script_args` of A1111's interface fill, in their order; None
    for one that says nothing here.
    """

    title: str
    arguments: tuple[str | None, ...]


def menu_scripts(model: type[BaseModel]) -> tuple[Script, ...]:
    """The entries of the Script menu that a model of values stands for; none for an extension with an accordion."""
    scripts: tuple[Script, ...] = getattr(model, "MENU_SCRIPTS", ())
    return scripts


def words_of(model: type[BaseModel], field: str) -> list[str]:
    """The words that a field allows, one or several of them; none for a field of another kind."""
    annotation = model.model_fields[field].annotation
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return [word for word in get_args(annotation) if isinstance(word, str)]


def controls_of(model: type[BaseModel]) -> dict[str, Control]:
    """Field name -> Control, in the order of declaration, for the fields that carry one."""
    found: dict[str, Control] = {}
    for name, info in model.model_fields.items():
        for extra in info.metadata:
            if isinstance(extra, Control):
                found[name] = extra
    return found
