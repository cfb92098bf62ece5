"""Finds, loads and isolates extensions: one that fails is marked and left out, never fatal.

An extension is a folder with an extension.py; it may import `app.extension_api`. A failed one keeps its traceback.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import traceback
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from app.hooks import ENGINE_HOOKS, PAGE_HOOKS, Registry

logger = logging.getLogger(__name__)

MODULE_PREFIX = "easel_extensions"
"""Extensions are modules below this name, so that none can hide a package of the same name."""

State = Literal["loaded", "disabled", "failed"]


@dataclass
class Extension:
    """One extension's folder and what became of it. problem: the traceback of one that failed."""

    name: str
    folder: Path
    state: State
    problem: str = ""


class ExtensionHost:
    """The extensions of the given folders; of two with one name the first folder's counts."""

    def __init__(self, folders: Iterable[Path], registry: Registry, disabled: Collection[str] = ()) -> None:
        self.registry = registry
        self.extensions: list[Extension] = []
        for folder in _found(folders):
            state: State = "disabled" if folder.name in disabled else "loaded"
            self.extensions.append(Extension(folder.name, folder, state))

    def load(self) -> None:
        """Imports each extension and asks it the page's hooks. Call once, before the page is built."""
        for extension in self._loaded():
            self._try(extension, lambda extension: self.registry.add(_imported(extension), extension.name))
            self._ask(extension, PAGE_HOOKS)

    def load_for_engine(self) -> None:
        """Asks the engine's hooks. Call once, when torch is there and the built-ins are registered."""
        for extension in self._loaded():
            self._ask(extension, ENGINE_HOOKS)

    def _loaded(self) -> list[Extension]:
        return [extension for extension in self.extensions if extension.state == "loaded"]

    def _ask(self, extension: Extension, hooks: Collection[str]) -> None:
        self._try(extension, lambda extension: self.registry.ask(extension.name, hooks))

    def _try(self, extension: Extension, act: Callable[[Extension], None]) -> None:
        if extension.state != "loaded":
            return
        try:
            act(extension)
        except (Exception, SystemExit):
            extension.state = "failed"
            extension.problem = traceback.format_exc()
            logger.exception("The extension %s failed and is left out", extension.name)
            self.registry.remove(extension.name)


def _found(folders: Iterable[Path]) -> list[Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/extension.py")):
            found.setdefault(file.parent.name, file.parent)
    return list(found.values())


def _imported(extension: Extension) -> ModuleType:
    name = f"{MODULE_PREFIX}.{extension.name}"
    file = extension.folder / "extension.py"
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(extension.folder)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(MODULE_PREFIX, ModuleType(MODULE_PREFIX))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
