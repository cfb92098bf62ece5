"""Finds, loads and isolates extensions: one that fails or hangs is marked and left out, never fatal.

An extension is a folder with an extension.py; it may import `app.extension_api`. A marked one keeps its traceback.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import traceback
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

from app.guard import within
from app.hooks import ENGINE_HOOKS, PAGE_HOOKS, Registry

logger = logging.getLogger(__name__)

T = TypeVar("T")
MODULE_PREFIX = "easel_extensions"
"""Extensions are modules below this name, so that none can hide a package of the same name."""
BUILT_IN = (
    "example",
    "face_restoration",
    "hires_fix",
    "loopback",
    "outpainting",
    "refiner",
    "sd_upscale",
    "soft_inpainting",
)
"""Folders that come with the program."""
PATIENCE = 10.0
"""Seconds for an import, and for the hooks of one kind together; the page waits meanwhile."""

State = Literal["loaded", "disabled", "failed"]


@dataclass
class Extension:
    """One extension's folder and what became of it.

    state: 'loaded' also where an answer during work has failed. problem: the last traceback, "" for none.
    """

    name: str
    folder: Path
    state: State
    problem: str = ""

    @property
    def built_in(self) -> bool:
        """Whether it comes with the program."""
        return self.name in BUILT_IN

    @property
    def about(self) -> str:
        """The first line of extension.py's docstring, or of README.md; read without running anything."""
        for name in ("extension.py", "README.md"):
            try:
                text = (self.folder / name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            first = next((line for line in text.splitlines() if line.strip()), "").strip()
            if name == "README.md" or first.startswith('"""'):
                return first.strip('"#').strip()
        return ""


class ExtensionHost:
    """The extensions of the given folders, by name within each; of two with one name the first folder's counts.

    patience: seconds, see PATIENCE.
    """

    def __init__(
        self, folders: Iterable[Path], registry: Registry, disabled: Collection[str] = (), *, patience: float = PATIENCE
    ) -> None:
        self.registry = registry
        self.extensions: list[Extension] = []
        self._patience = patience
        for folder in _found(folders):
            state: State = "disabled" if folder.name in disabled else "loaded"
            self.extensions.append(Extension(folder.name, folder, state))
        registry.guard.marked = self.mark

    def load(self) -> None:
        """Imports each extension and asks it the page's hooks. Call once, before the page is built."""
        for extension in self._loaded():
            module = self._try(extension, partial(_imported, extension))
            if module is not None:
                self._try(extension, partial(self._added, extension, module))
                self._ask(extension, PAGE_HOOKS)

    def load_for_engine(self) -> None:
        """Asks the engine's hooks. Call once, when torch is there and the built-ins are registered."""
        for extension in self._loaded():
            self._ask(extension, ENGINE_HOOKS)

    def mark(self, name: str, problem: str) -> None:
        """Remembers what an extension did wrong, on top of what it is allowed to go on with."""
        for extension in self.extensions:
            if extension.name == name:
                extension.problem = problem

    def fail(self, name: str, problem: str) -> None:
        """Marks an extension and forgets all its answers."""
        for extension in self.extensions:
            if extension.name == name and extension.state == "loaded":
                extension.state, extension.problem = "failed", problem
                self.registry.remove(name)

    def _loaded(self) -> list[Extension]:
        return [extension for extension in self.extensions if extension.state == "loaded"]

    def _added(self, extension: Extension, module: ModuleType) -> None:
        self.registry.add(module, extension.name)

    def _ask(self, extension: Extension, hooks: Collection[str]) -> None:
        if extension.state != "loaded":
            return
        answers = self._try(extension, lambda: self.registry.answers(extension.name, hooks))
        if answers is not None:
            # Entered here and not over there, so that one that comes back late changes nothing.
            self._try(extension, lambda: self.registry.enter(extension.name, answers))

    def _try(self, extension: Extension, act: Callable[[], T]) -> T | None:
        try:
            return within(self._patience, act)
        except (Exception, SystemExit):
            logger.exception("The extension %s failed and is left out", extension.name)
            self.fail(extension.name, traceback.format_exc())
            return None


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
        sys.modules.pop(name, None)
        raise
    return module
