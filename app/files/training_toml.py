"""TrainingToml: a training's settings in a TOML, by the fields' own names or by sd-scripts' keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from app.files.kohya import is_kohya, path_beside, read_kohya
from app.files.kohya_values import Imported
from app.schema.errors import TrainingProblem

_PATHS = ("data", "class_data", "template")


def read_training_toml(text: str, beside: Path | None = None) -> Imported:
    """beside: the folder that relative paths are meant from; None: as they are written.

    Raises TrainingProblem for what is no TOML, and as `read_kohya` does.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrainingProblem(f"This is no TOML: {error}.", field="run") from error
    if is_kohya(values):
        return read_kohya(values, beside)
    if isinstance(values.get("learning_rate"), int | float):
        values["learning_rate"] = str(values["learning_rate"])
    for name in _PATHS:
        if values.get(name):
            values[name] = path_beside(values[name], beside)
    return Imported(values, ())
