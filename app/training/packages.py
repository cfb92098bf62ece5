"""Packages: the optional ones of a training; where one is missing, words on what it is for and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from app.schema.errors import TrainingProblem


def require_tensorboard() -> None:
    """Raises TrainingProblem where tensorboardX is not installed."""
    if find_spec("tensorboardX") is None:
        raise TrainingProblem(
            "A TensorBoard log needs the package tensorboardX, which is not installed.",
            field="tensorboard",
            hint="Install it (pip install tensorboardX), or train without that log: the page shows the same curves.",
        )


def require_accelerate() -> None:
    """Raises TrainingProblem where accelerate is not installed."""
    if find_spec("accelerate") is None:
        raise TrainingProblem(
            "Several graphics cards need the package accelerate, which is not installed.",
            field="cards",
            hint="Install it (pip install accelerate), or take one card.",
        )
