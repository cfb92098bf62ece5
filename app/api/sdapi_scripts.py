"""A1111's scripts: `alwayson_scripts` and `script_name` name extensions, whose controls' values are the arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from app.schema.control import Control, Script, controls_of, menu_scripts, words_of
from app.schema.errors import InvalidField, UnknownChoice
from app.schema.infotext import Models

UI_ONLY_SCRIPTS = frozenset({"refiner", "sampler", "seed"})
"""Scripts of A1111's that are part of its page and read nothing over the interface."""


def script_of(name: str, model: type[BaseModel]) -> str:
    """What A1111's clients call an extension: its model's SCRIPT where it has one, else its title, in small letters."""
    return str(getattr(model, "SCRIPT", None) or model.model_config.get("title") or name).lower()


def always_on(scripts: Mapping[str, Any], models: Models) -> dict[str, dict[str, Any]]:
    """The values of the extensions that a request names; those that are switched off are left out.

    A list of arguments that is too short leaves the rest at their defaults. Raises UnknownChoice, InvalidField.
    """
    known = {word: name for name, model in _as_scripts(models) for word in (script_of(name, model), name.lower())}
    found: dict[str, dict[str, Any]] = {}
    for script, given in scripts.items():
        name = known.get(script.lower())
        if name is not None:
            values = _values(script, models[name], given)
            if values is not None:
                found[name] = values
        elif script.lower() not in UI_ONLY_SCRIPTS:
            raise UnknownChoice(f"Script '{script[:80]}' not found", field="alwayson_scripts")
    return found


def chosen(title: str | None, arguments: Sequence[Any], models: Models, tab: str) -> dict[str, dict[str, Any]]:
    """The values that a script of the Script menu asks for, by its extension; none where none is chosen.

    A list that is too short leaves the rest at their defaults. Raises UnknownChoice, InvalidField.
    """
    if not title:
        return {}
    for name, _, script in _menu(models, tab):
        if script.title.lower() == title.lower():
            if len(arguments) > len(script.arguments):
                raise InvalidField(
                    f"{script.title}: {len(arguments)} arguments were sent; it has {len(script.arguments)}.",
                    field="script_args",
                )
            said = zip(script.arguments, arguments, strict=False)
            return {name: {field: value for field, value in said if field is not None}}
    raise UnknownChoice(f"Script '{title[:80]}' not found", field="script_name")


def script_items(models: Models) -> Iterator[dict[str, Any]]:
    """Scripts as A1111's script-info lists them: each once for each of its two tabs in which it shows."""
    for redraws, tabs in ((False, {"txt2img"}), (True, {"img2img", "inpaint"})):
        for _, model, script in _menu(models, *tabs):
            arguments = [_argument(model, field) for field in script.arguments]
            yield {"name": script.title.lower(), "is_alwayson": False, "is_img2img": redraws, "args": arguments}
        for name in sorted(UI_ONLY_SCRIPTS):
            yield {"name": name, "is_alwayson": True, "is_img2img": redraws, "args": []}
        for name, model in _as_scripts(models):
            if tabs & set(getattr(model, "TABS", tabs)):
                items = [_item(model, field, control) for field, control in controls_of(model).items()]
                yield {"name": script_of(name, model), "is_alwayson": True, "is_img2img": redraws, "args": items}


def _as_scripts(models: Models) -> list[tuple[str, type[BaseModel]]]:
    """Extensions that A1111's interface has no fields for; what it has fields for is no script."""
    return [
        (name, model)
        for name, model in models.items()
        if not menu_scripts(model) and not any(control.api for control in controls_of(model).values())
    ]


def _menu(models: Models, *tabs: str) -> list[tuple[str, type[BaseModel], Script]]:
    """The entries of the Script menu of any of these tabs, by their titles."""
    found = [
        (name, model, script)
        for name, model in models.items()
        if set(tabs) & set(getattr(model, "TABS", tabs))
        for script in menu_scripts(model)
    ]
    return sorted(found, key=lambda entry: entry[2].title.lower())


def _values(script: str, model: type[BaseModel], given: Any) -> dict[str, Any] | None:
    """None where its switch is off."""
    arguments = given.get("args", []) if isinstance(given, dict) else None
    controls = controls_of(model)
    if not isinstance(arguments, list) or len(arguments) > len(controls):
        raise InvalidField(
            f"alwayson_scripts: '{script[:80]}' takes a list of up to {len(controls)} arguments in 'args': "
            f"{', '.join(control.label for control in controls.values())}.",
            field="alwayson_scripts",
        )
    values = dict(zip(controls, arguments, strict=False))
    switches = [name for name, control in controls.items() if control.holds == "switch"]
    if any(not values.get(name, False) for name in switches):
        return None
    return values


def _argument(model: type[BaseModel], field: str | None) -> dict[str, Any]:
    """None stands for a note in A1111's page, which counts as an argument."""
    return _item(model, field, controls_of(model)[field] if field else Control(""))


def _item(model: type[BaseModel], field: str | None, control: Control) -> dict[str, Any]:
    value: Any = model.model_fields[field].default if field else ""
    if isinstance(value, tuple):
        value = list(value)
    return {
        "label": control.label,
        "value": False if control.holds == "switch" else value,
        "minimum": control.minimum,
        "maximum": control.maximum,
        "step": control.step,
        "choices": (words_of(model, field) if field else []) or None,
    }
