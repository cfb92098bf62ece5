"""Every question that an extension may answer, and the registry that holds the answers.

pluggy checks and finds the answers; plain objects do the work. Built-ins answer the same hooks. Knows no layer above.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pluggy

from app.entries import SamplerEntry, ScheduleEntry, TargetEntry, UpscalerEntry
from app.guard import Guard
from app.schema.choices import AUTOMATIC, LATENT_MODES, PLAIN_UPSCALERS, SAMPLER_NAMES, SCHEDULE_NAMES, Choices
from app.schema.errors import EaselError, ExtensionFailed
from app.schema.request import GenerationRequest, ImagePlan

logger = logging.getLogger(__name__)

T = TypeVar("T")

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


class NetworkKind(Named, Protocol):
    """A kind of network: `<name:which:0.8>` in a prompt switches one on."""

    def find(self, which: str) -> Path | None:
        """The file that a tag means, None where there is none. Asked when a job is submitted; must not import torch."""
        ...

    def open(self, path: Path, which: str) -> Any:
        """A Patch, Hook or Vocabulary of `app.extension_api`. Asked on the engine's thread."""
        ...


class Tab(NamedTuple):
    """A tab of the page. build: draws its content with Gradio, inside the page's own Blocks."""

    label: str
    build: Callable[[], None]


class Command(NamedTuple):
    """A sub-command. run: the arguments after its name -> the exit status."""

    name: str
    about: str
    run: Callable[[list[str]], int]


class Part(NamedTuple):
    """One of the pictures that a request becomes.

    request: what makes it, its own seeds included. batch: parts with equal
    numbers may share model calls. source: number of an earlier part whose picture it redraws, in place of the
    request's own; it begins once that one is saved.
    """

    request: GenerationRequest
    batch: int = 0
    source: int | None = None


class Questions:
    """The hooks. Each is asked once, at the start or when the engine is made; the last two during work."""

    @_question
    def register_controls(self) -> Iterable[type]:
        """pydantic models whose fields carry Controls; their values travel in `request.extensions`."""
        return ()

    @_question
    def register_passes(self) -> Iterable[Callable[[GenerationRequest], GenerationRequest | None]]:
        """At most one function: resolved request -> what a further pass of its picture asks for, or None.

        It is resolved and stored with the request, in `passes` under the extension's name.
        """
        return ()

    @_question
    def register_expanders(self) -> Iterable[Callable[[GenerationRequest], Sequence[Part]]]:
        """At most one function: resolved request -> the pictures that it becomes, in order, for requests that name the
        extension. Asked when a job is submitted; what it answers is resolved and stored with the job.
        """
        return ()

    @_question
    def register_tabs(self) -> Iterable[Tab]:
        """Tabs of the page."""
        return ()

    @_question
    def register_routes(self) -> Iterable[Any]:
        """FastAPI routers, served under /ext/<extension>."""
        return ()

    @_question
    def register_commands(self) -> Iterable[Command]:
        """Sub-commands of the command line."""
        return ()

    @_question
    def register_stages(self) -> Iterable[Any]:
        """Stages: what runs passes around the plain one, for requests that name the extension."""
        return ()

    @_question
    def register_guides(self) -> Iterable[Any]:
        """Makers of guides (`MakeGuides`): a pass of a picture -> what acts on each of its model calls."""
        return ()

    @_question
    def register_samplers(self) -> Iterable[SamplerEntry]:
        """Samplers, chosen like those that come with the program."""
        return ()

    @_question
    def register_schedules(self) -> Iterable[ScheduleEntry]:
        """Schedules, chosen like those that come with the program."""
        return ()

    @_question
    def register_networks(self) -> Iterable[NetworkKind]:
        """Kinds of networks that prompts name in tags; a built-in kind's word keeps its meaning."""
        return ()

    @_question
    def register_upscalers(self) -> Iterable[UpscalerEntry]:
        """Upscalers, chosen like those of files."""
        return ()

    @_question
    def register_targets(self) -> Iterable[TargetEntry]:
        """What can be trained, beside what comes with the program."""
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
    "register_networks",
    "register_samplers",
    "register_schedules",
    "register_upscalers",
    "register_targets",
)
"""Asked at the start. An answer must not import torch: the page is not there yet."""
ENGINE_HOOKS = (
    "register_stages",
    "register_guides",
)
"""Asked when the engine is made, in the order of registration, built-ins first."""
TABLES = frozenset(
    {
        "register_commands",
        "register_samplers",
        "register_schedules",
        "register_networks",
        "register_upscalers",
        "register_targets",
    }
)
"""Hooks whose entries are chosen by name, so that no two may share one."""
_KINDS: Mapping[str, type] = {
    "register_samplers": SamplerEntry,
    "register_schedules": ScheduleEntry,
    "register_upscalers": UpscalerEntry,
    "register_targets": TargetEntry,
}
"""What the answers to a hook have to be, where the program reads more of them than their names before a job asks."""
_BUILT_IN_NAMES: Mapping[str, frozenset[str]] = {
    "register_samplers": frozenset(known.casefold() for one in SAMPLER_NAMES for known in (one.name, *one.aliases)),
    "register_schedules": frozenset(
        known.casefold() for one in SCHEDULE_NAMES for known in (one.label, one.name, *one.aliases)
    ),
    "register_upscalers": frozenset(name.casefold() for name in (*PLAIN_UPSCALERS, *LATENT_MODES, AUTOMATIC)),
}


WORK_SECONDS = 5.0
"""How long an answer during work may take; the picture is saved without it after that."""


def _listed(answer: Callable[..., Iterable[tuple[str, str]]], plan: ImagePlan) -> list[tuple[str, str]]:
    return list(answer(plan=plan))


class Registry:
    """Filled at the start by one thread, only read afterwards.

    guard: runs what plugins do during work. work_seconds: how long each of the last two hooks may take.
    """

    def __init__(self, work_seconds: float = WORK_SECONDS, guard: Guard | None = None) -> None:
        self.guard = guard or Guard()
        self._work_seconds = work_seconds
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
        self.enter(name, self.answers(name, hooks))

    def answers(self, name: str, hooks: Collection[str]) -> dict[str, list[Any]]:
        """What a plugin answers to these hooks; changes nothing. Raises what the plugin raises."""
        plugin = self._manager.get_plugin(name)
        answers: dict[str, list[Any]] = {}
        for caller in self._manager.get_hookcallers(plugin) or ():
            if caller.name in hooks:
                answer = next(impl for impl in caller.get_hookimpls() if impl.plugin is plugin)
                function: Callable[..., Any] = answer.function
                answers[caller.name] = list(function())
        return answers

    def enter(self, name: str, answers: Mapping[str, list[Any]]) -> None:
        """Takes a plugin's answers in. Raises ValueError for a name that is taken."""
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

    def choices(self) -> Choices:
        """All that may be chosen by name, what extensions add behind what comes with the program."""
        return Choices(
            samplers=(*SAMPLER_NAMES, *(entry.named for entry in self.entries("register_samplers"))),
            schedules=(*SCHEDULE_NAMES, *(entry.named for entry in self.entries("register_schedules"))),
            upscalers=tuple(self.table("register_upscalers")),
        )

    def targets(self) -> dict[str, TargetEntry]:
        """What extensions teach, by the name that requests have as method: 'extension/name'."""
        return {f"{owner}/{entry.name}": entry for owner, entry in self.owners("register_targets")}

    def image_saving(self, plan: ImagePlan) -> list[tuple[str, str]]:
        """What all plugins add to an infotext; one that raises or takes too long adds nothing and is marked."""
        added: list[tuple[str, str]] = []
        for name, answer in self._during_work("image_saving"):
            added.extend(self._asked(name, "image_saving", partial(_listed, answer, plan)) or ())
        return added

    def job_finished(self, job: str) -> None:
        """Tells all plugins that a job has ended."""
        for name, answer in self._during_work("job_finished"):
            self._asked(name, "job_finished", partial(answer, job=job))

    def _asked(self, name: str, hook_name: str, act: Callable[[], T]) -> T | None:
        try:
            return self.guard.run(name, hook_name, act, seconds=self._work_seconds)
        except ExtensionFailed:  # the guard has marked it
            return None
        except EaselError:
            logger.exception("%s refuses in %s", name, hook_name)
            return None

    def _during_work(self, hook_name: str) -> list[tuple[str, Callable[..., Any]]]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook_name)
        found = [(answer.plugin_name, answer.function) for answer in caller.get_hookimpls()]
        return [(name, function) for name, function in found if not self.guard.has_hung(name)]

    def _refuse_taken_names(self, hook_name: str, entries: list[Any]) -> None:
        if hook_name not in TABLES:
            return
        taken = dict.fromkeys(_BUILT_IN_NAMES.get(hook_name, ()), "the program itself")
        taken |= {entry.name.casefold(): owner for owner, entry in self._entries.get(hook_name, ())}
        for entry in entries:
            kind = _KINDS.get(hook_name)
            if kind is not None and not isinstance(entry, kind):
                raise TypeError(f"{hook_name}: {entry!r} is no {kind.__name__}")
            name = entry.name.casefold()
            if name in taken:
                raise ValueError(f"{hook_name}: the name '{entry.name}' is taken by {taken[name]}")
            taken[name] = "this extension itself"
