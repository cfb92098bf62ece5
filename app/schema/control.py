"""Control: how one request field shows itself in the form, the API and the infotext.

Knows nothing of widgets: a front end reads controls and builds its own.
"""

from __future__ import annotations

from typing import NamedTuple

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


def controls_of(model: type[BaseModel]) -> dict[str, Control]:
    """Field name -> Control, in the order of declaration, for the fields that carry one."""
    found: dict[str, Control] = {}
    for name, info in model.model_fields.items():
        for extra in info.metadata:
            if isinstance(extra, Control):
                found[name] = extra
    return found
