"""Extensions as a launch wires them: what they bring becomes entries of the engine's tables, guarded at every step.

Brings torch in, and late: on the engine's thread. Kinds of networks are asked without it, too, when a job is submitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.entries import SamplerEntry, ScheduleEntry, TargetEntry, UpscalerEntry
from app.hooks import NetworkKind, Registry
from app.jobs.resolve import FurtherPass

if TYPE_CHECKING:
    from torch import Tensor

    from app.language import Tokenizer
    from app.models import LoadedModel, Upscaler
    from app.samplers import Noise, Sampler, SamplerOptions, Sampling, Schedule, ScheduleInputs, Tables
    from app.schema.training import TrainingRequest
    from app.training.targets import MakeTarget, Target

UPSCALER_SECONDS = 60.0
"""Without a word from an upscaler after which it counts as hung."""

_OF_NETWORKS = ("name", "kind", "family", "fingerprint", "report")
_DEEDS = ("changed", "attach", "tokens")
"""Of a Patch, a Hook and a Vocabulary."""
_ASKED = ("report", "targets", *_DEEDS)
"""All that a network is asked while it is put on."""


def passes_of(registry: Registry) -> dict[str, FurtherPass]:
    """The further passes that extensions ask for, by extension."""

    def guarded(owner: str, further: FurtherPass) -> FurtherPass:
        return lambda request: registry.guard.run(owner, "the further pass", partial(further, request))

    return {owner: guarded(owner, further) for owner, further in registry.owners("register_passes")}


def tables_of(registry: Registry) -> Tables:
    """The samplers and schedules of this machine."""
    # Late on purpose: it brings torch.
    from app.samplers import BUILT_IN_TABLES, Tables  # noqa: PLC0415

    samplers = {entry.name: _sampler(registry, owner, entry) for owner, entry in registry.owners("register_samplers")}
    schedules = {
        entry.name: _schedule(registry, owner, entry) for owner, entry in registry.owners("register_schedules")
    }
    return Tables(
        registry.choices(), {**BUILT_IN_TABLES.samplers, **samplers}, {**BUILT_IN_TABLES.schedules, **schedules}
    )


def upscalers_of(registry: Registry) -> dict[str, Upscaler]:
    """What extensions bring, by name."""
    return {entry.name: _upscaler(registry, owner, entry) for owner, entry in registry.owners("register_upscalers")}


def targets_of(registry: Registry) -> dict[str, MakeTarget]:
    """What extensions teach, by method."""
    return {name: _target(registry, name.partition("/")[0], entry) for name, entry in registry.targets().items()}


def _target(registry: Registry, owner: str, entry: TargetEntry) -> MakeTarget:
    def make(request: TrainingRequest, model: LoadedModel, tokenizer: Tokenizer) -> Target:
        target: Target = entry.load()(request, model, tokenizer)
        if not target.parameters():
            raise ValueError("It has nothing to train")
        return target

    return lambda request, model, tokenizer: registry.guard.run(
        owner, f"the method {entry.name}", partial(make, request, model, tokenizer)
    )


def network_kinds_of(registry: Registry) -> dict[str, NetworkKind]:
    """What extensions bring, by the word of their tags."""
    return {kind.name: _GuardedKind(registry, owner, kind) for owner, kind in registry.owners("register_networks")}


@dataclass(frozen=True)
class _GuardedKind:
    """An extension's kind of network; what it raises fails one job, in words, and marks the extension."""

    registry: Registry
    owner: str
    kind: NetworkKind

    @property
    def name(self) -> str:
        """As in `NetworkKind`."""
        return self.kind.name

    def find(self, which: str) -> Path | None:
        """As in `NetworkKind`. Raises ExtensionFailed, also for a file that is not there."""

        def found() -> Path | None:
            path = self.kind.find(which)
            if path is not None and not Path(path).is_file():
                raise FileNotFoundError(f"It finds {str(path)[:200]}, which is no file")
            return None if path is None else Path(path)

        return self._run(found, which)

    def open(self, path: Path, which: str) -> Any:
        """As in `NetworkKind`. Raises ExtensionFailed, also for what is no network."""

        def opened() -> Any:
            network = self.kind.open(path, which)
            lacking = [name for name in _OF_NETWORKS if not hasattr(network, name)]
            if lacking or not any(hasattr(network, name) for name in _DEEDS):
                raise TypeError(f"It opens {str(network)[:200]}, which is no Patch, Hook or Vocabulary")
            return network

        return _GuardedNetwork(self._run(opened, which), partial(self._run, which=which))

    def _run(self, act: Callable[[], Any], which: str) -> Any:
        return self.registry.guard.run(self.owner, f"the network <{self.name}:{which[:100]}>", act)


class _GuardedNetwork:
    """A network of such a kind: it has what the extension's own has, and whatever it is asked is guarded."""

    def __init__(self, network: Any, run: Callable[[Callable[[], Any]], Any]) -> None:
        self._network = network
        self._run = run

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._network, name)
        return partial(self._ask, name, found) if name in _ASKED else found

    def _ask(self, name: str, deed: Callable[..., Any], *given: Any, **named: Any) -> Any:
        # Late on purpose: who is asked is asked by the engine, which has it.
        import torch  # noqa: PLC0415

        def act() -> Any:
            with torch.no_grad():  # the guard's thread does not know what its caller's has set
                answer = deed(*given, **named)
                return tuple(answer) if name == "targets" else answer

        answer = self._run(act)
        return partial(self._ask, "undo", answer) if name == "attach" else answer


def _sampler(registry: Registry, owner: str, entry: SamplerEntry) -> Sampler:
    def walk(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
        return registry.guard.walk(
            owner, f"the sampler {entry.name}", lambda: _checked(entry.load()(x, sigmas, noise, options), x)
        )

    return walk


def _checked(sampling: Sampling, x: Tensor) -> Sampling:
    """The same walk; raises where it asks for what no model can answer, or ends in another latent than it was given."""
    from app.samplers import Point  # noqa: PLC0415  torch is there

    point = next(sampling)
    while True:
        if not isinstance(point, Point) or point.x.shape != x.shape or not point.sigma > 0:
            raise ValueError(f"It asks for {str(point)[:200]}, which is no point for a latent of {tuple(x.shape)}")
        denoised = yield point
        try:
            point = sampling.send(denoised)
        except StopIteration as stop:
            latent: Tensor = stop.value
            if getattr(latent, "shape", None) != x.shape:
                raise ValueError("It ends without a latent of the shape that it was given") from None
            return latent


def _schedule(registry: Registry, owner: str, entry: ScheduleEntry) -> Schedule:
    def levels(steps: int, inputs: ScheduleInputs) -> Tensor:
        found: Tensor = entry.load()(steps, inputs)
        if found.ndim != 1 or len(found) < 2 or not bool(found.isfinite().all()) or bool((found < 0).any()):
            raise ValueError(f"It gives {str(found)[:200]}, which are no noise levels")
        return found.detach().float().cpu()

    return lambda steps, inputs: registry.guard.run(owner, f"the schedule {entry.name}", partial(levels, steps, inputs))


def _upscaler(registry: Registry, owner: str, entry: UpscalerEntry) -> Upscaler:
    def enlarge(pixels: Tensor, factor: float, tell: Callable[[int, int], None]) -> Tensor:
        found: Any = entry.load()(pixels, factor, tell)
        if found.ndim != 3 or found.shape[0] != 3 or str(found.dtype) != "torch.uint8":
            raise ValueError(f"It gives {tuple(found.shape)} {found.dtype} where [3, H, W] uint8 is due")
        larger: Tensor = found.cpu()
        return larger

    def guarded(pixels: Tensor, factor: float, tell: Callable[[int, int], None]) -> Tensor:
        return registry.guard.run_telling(
            owner, f"the upscaler {entry.name}", lambda told: enlarge(pixels, factor, told), tell, UPSCALER_SECONDS
        )

    return guarded
