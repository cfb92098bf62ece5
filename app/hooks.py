"""Every question that an extension may answer, and the registry that holds the answers.

pluggy checks and finds the answers; plain objects do the work. Built-ins answer the same hooks. Knows no layer above.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import pluggy

from app.schema.request import GenerationRequest, ImagePlan

logger = logging.getLogger(__name__)

PROJECT = "easel"
hook = pluggy.HookimplMarker(PROJECT)
"""Marks a function of an extension as the answer to the hook of its name."""
_question = pluggy.HookspecMarker(PROJECT)


class Named(Protocol):
    """An entry of a table that requests choose from by name."""

    @property
    def name(self) -> str:
        """As requests and pages write it."""
        ...


class Questions:
    """The hooks. Each is asked once, at the start or when the engine is made; the last two during work."""

    @_question
    def register_controls(self) -> Iterable[type]:
        """pydantic models whose fields carry Controls; their values travel in `request.extensions`."""
        return ()

    @_question
    def register_passes(self) -> Iterable[Callable[[GenerationRequest], GenerationRequest | None]]:
        """At most one function: resolved request -> what a further pass of its picture asks for, or None. It is resolved
        and stored with the request, in `passes` under the extension's name."""
        return ()

    @_question
    def register_expanders(self) -> Iterable[Named]:
        """One request -> many, and their pictures -> a grid."""
        return ()

    @_question
    def register_tabs(self) -> Iterable[Callable[..., Any]]:
        """Functions that build a tab of the page."""
        return ()

    @_question
    def register_routes(self) -> Iterable[Any]:
        """FastAPI routers, served under /ext/<extension>."""
        return ()

    @_question
    def register_commands(self) -> Iterable[Any]:
        """Sub-commands of the command line."""
        return ()

    @_question
    def register_stages(self) -> Iterable[Any]:
        """Stages: what runs passes around the plain one, for requests that name the extension."""
        return ()

    @_question
    def register_guides(self) -> Iterable[Any]:
        """request -> guides that act on each model call."""
        return ()

    @_question
    def register_samplers(self) -> Iterable[Named]:
        """Samplers."""
        return ()

    @_question
    def register_schedules(self) -> Iterable[Named]:
        """Schedules."""
        return ()

    @_question
    def register_networks(self) -> Iterable[Named]:
        """Kinds of network files."""
        return ()

    @_question
    def register_upscalers(self) -> Iterable[Named]:
        """Upscalers."""
        return ()

    @_question
    def register_targets(self) -> Iterable[Named]:
        """What can be trained."""
        return ()

    @_question
    def image_saving(self, plan: ImagePlan) -> Iterable[tuple[str, str]]:
        """More entries for the infotext of a picture that is about to be saved; on the writer's thread."""
        return ()

    @_question
    def job_finished(self, job: str) -> None:
        """A job has ended; on the writer's thread."""


PAGE_HOOKS = (
    "register_controls",
    "register_passes",
    "register_expanders",
    "register_tabs",
    "register_routes",
    "register_commands",
)
"""Asked at the start. An answer must not import torch: the page is not there yet."""
ENGINE_HOOKS = (
    "register_stages",
    "register_guides",
    "register_samplers",
    "register_schedules",
    "register_networks",
    "register_upscalers",
    "register_targets",
)
"""Asked when the engine is made, in the order of registration, built-ins first."""
TABLES = frozenset(
    {
        "register_expanders",
        "register_samplers",
        "register_schedules",
        "register_networks",
        "register_upscalers",
        "register_targets",
    }
)
"""Hooks whose entries are chosen by name, so that no two may share one."""


class Registry:
    """Filled at the start by one thread, only read afterwards."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Questions)
        self._entries: dict[str, list[tuple[str, Any]]] = {}

    def add(self, plugin: object, name: str) -> None:
        """Takes in a module or object with answers. Raises PluginValidationError for one that fits no question."""
        self._manager.register(plugin, name)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError:
            self._manager.unregister(plugin)
            raise

    def ask(self, name: str, hooks: Collection[str]) -> None:
        """Asks one plugin each of these hooks that it answers. Raises what the plugin raises, and ValueError for a
        name that is taken; nothing of the plugin's answers to these hooks stays then."""
        plugin = self._manager.get_plugin(name)
        answers: dict[str, list[Any]] = {}
        for caller in self._manager.get_hookcallers(plugin) or ():
            if caller.name in hooks:
                answer = next(impl for impl in caller.get_hookimpls() if impl.plugin is plugin)
                function: Callable[..., Any] = answer.function
                answers[caller.name] = list(function())
        for asked, entries in answers.items():
            # Asked again, after an engine that broke down, its answers take the place of the earlier ones.
            self._entries[asked] = [(owner, entry) for owner, entry in self._entries.get(asked, ()) if owner != name]
            self._refuse_taken_names(asked, entries)
        for asked, entries in answers.items():
            self._entries.setdefault(asked, []).extend((name, entry) for entry in entries)

    def remove(self, name: str) -> None:
        """Forgets a plugin and all its answers."""
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        self._entries = {
            asked: [(owner, entry) for owner, entry in entries if owner != name]
            for asked, entries in self._entries.items()
        }

    def entries(self, hook_name: str) -> tuple[Any, ...]:
        """All answers to a hook, in the order of registration."""
        return tuple(entry for _, entry in self._entries.get(hook_name, ()))

    def owners(self, hook_name: str) -> tuple[tuple[str, Any], ...]:
        """The same with the plugin that each comes from."""
        return tuple(self._entries.get(hook_name, ()))

    def table(self, hook_name: str) -> Mapping[str, Any]:
        """The answers to a hook of TABLES by their names."""
        return {entry.name: entry for entry in self.entries(hook_name)}

    def image_saving(self, plan: ImagePlan) -> list[tuple[str, str]]:
        """What all plugins add to an infotext; one that raises adds nothing and is logged."""
        added: list[tuple[str, str]] = []
        for name, answer in self._during_work("image_saving"):
            try:
                added.extend(answer(plan=plan))
            except Exception:
                logger.exception("%s failed in image_saving", name)
        return added

    def job_finished(self, job: str) -> None:
        """Tells all plugins that a job has ended."""
        for name, answer in self._during_work("job_finished"):
            try:
                answer(job=job)
            except Exception:
                logger.exception("%s failed in job_finished", name)

    def _during_work(self, hook_name: str) -> list[tuple[str, Callable[..., Any]]]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook_name)
        return [(answer.plugin_name, answer.function) for answer in caller.get_hookimpls()]

    def _refuse_taken_names(self, hook_name: str, entries: list[Any]) -> None:
        if hook_name not in TABLES:
            return
        taken = {entry.name: owner for owner, entry in self._entries.get(hook_name, ())}
        for entry in entries:
            if entry.name in taken:
                raise ValueError(f"{hook_name}: the name '{entry.name}' is taken by {taken[entry.name]}")
            taken[entry.name] = "this extension itself"
