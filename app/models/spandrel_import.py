"""Spandrel import: brings the library of upscaling networks in although it asks for torchvision, which is not here.

spandrel 0.4.2 imports torchvision for two networks that are not upscalers (LaMa, RestoreFormer). A torchvision that
does not fit torch breaks transformers, so none is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from app.schema.errors import NotServedYet

_STAND_INS = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


def spandrel() -> Any:
    """The library. Raises NotServedYet with the command that installs it where it is not there."""
    if "spandrel" in sys.modules:
        return sys.modules["spandrel"]
    if importlib.util.find_spec("spandrel") is None:
        raise NotServedYet(
            "Files of upscalers and of GFPGAN are read by the package spandrel, which is not installed.",
            field="upscaler",
            hint="Run: pip install --no-deps spandrel==0.4.2 einops==0.8.2 (never without --no-deps: its torchvision "
            "breaks other packages). Lanczos, Nearest and the latent upscalers work without it.",
        )
    # transformers decides once what it does with torchvision: it must not come upon the stand-in.
    importlib.import_module("transformers")
    with _without_torchvision():
        return importlib.import_module("spandrel")


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Modules of torchvision's names, for the time of an import, where there are no real ones."""
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    modules = {name: ModuleType(name) for name in _STAND_INS}
    functional = modules[_STAND_INS[2]]
    for name in ("rotate", "normalize"):
        setattr(functional, name, _missing)
    functional.InterpolationMode = type(  # type: ignore[attr-defined]
        "InterpolationMode", (), {"NEAREST": "nearest", "BILINEAR": "bilinear"}
    )
    sys.modules |= modules
    try:
        yield
    finally:
        for name in _STAND_INS:
            sys.modules.pop(name, None)


def _missing(*arguments: Any, **options: Any) -> Any:
    raise NotServedYet("This network needs torchvision, which is not here.", field="upscaler")
