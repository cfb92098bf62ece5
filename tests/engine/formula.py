"""An engine whose denoiser is a formula, so that what it makes can be told in advance."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from app.conditioning import Conditioning, ConditioningSchedule
from app.engine import Engine, FaceShelf, ModelChoice, Needs, PipelineManager, Scheduler, Tier
from app.models import Survey
from app.models.families import SD1
from app.recipes import Decode, EncodeText, Evaluate, generate
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest

SPREAD = 0.1


class FormulaRunner:
    """The mean of the denoised latent is the length of the prompt / 100; a decoded latent is that grey.

    groups: what was run, as (kind, rows). A prompt that says 'fail' fails when it is evaluated.
    """

    def __init__(self) -> None:
        self.groups: list[tuple[str, int]] = []

    def run(self, model: Any, sigmas: Any, effects: Sequence[Any]) -> list[Any]:
        self.groups.append((type(effects[0]).__name__, len(effects)))
        return [self._answer(effect) for effect in effects]

    def _answer(self, effect: Any) -> Any:
        if isinstance(effect, EncodeText):
            text = effect.unit.variants[0].text
            level = float("nan") if "fail" in text else len(text) / 100
            meaning = Conditioning(torch.full((1, 77, 4), level))
            return ConditioningSchedule((effect.unit.variants[-1].end,), (meaning,))
        if isinstance(effect, Evaluate):
            levels = torch.stack([one.context.mean() for one in effect.conditionings])
            if bool(levels.isnan().any()):
                raise RuntimeError("the formula has no answer")
            share = SPREAD**2 / (SPREAD**2 + effect.sigma**2)  # the exact denoiser of N(level, SPREAD)
            return share * effect.x + (1 - share) * levels.view(-1, 1, 1, 1)
        assert isinstance(effect, Decode)
        grey = effect.latent[0, :3].clamp(0, 1).mul(255).to(torch.uint8)
        return grey.repeat_interleave(8, 1).repeat_interleave(8, 2)


class FormulaLoader:
    """Loads nothing but the name. loaded: the checkpoints in order; one called 'broken' cannot be loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def survey(self, choice: ModelChoice, *, unet: Any, vae: Any) -> Needs:
        size = choice.checkpoint.size
        return Needs(Survey(size, size, None), Survey(0, 0, None))

    def vae(self, choice: ModelChoice, device: Any, dtype: Any, into: Any, tell: Any) -> Any:
        return Facts(module=Sized(0), dtype=torch.float32)

    def checkpoint(self, choice: ModelChoice, device: Any, dtype: Any, into: Any, tell: Any, vae: Any) -> Any:
        if choice.checkpoint.path == "broken":
            raise RuntimeError("cannot be loaded")
        self.loaded.append(choice.checkpoint.path)
        return fake_model(choice)

    def join(self, model: Any, vae: Any, choice: ModelChoice) -> None:
        model.vae = vae


class Facts(SimpleNamespace):
    """A namespace that may be referred to weakly, as models may."""


class Sized(torch.nn.Module):
    """Takes some bytes and does nothing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(in_channels=4)
        self.register_buffer("weights", torch.zeros(size, dtype=torch.uint8))


def fake_model(choice: ModelChoice) -> Any:
    """As much of a LoadedModel as the engine looks at."""
    return Facts(
        family=SD1,
        unet=Sized(choice.checkpoint.size),
        text_encoders=(),
        device=torch.device("cpu"),
        fingerprint=choice.checkpoint.path,
        networks=(),
        alphas_cumprod=torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0),
        preview=SD1.preview,
    )


def image_plans(
    job: str, *, owner: str = "ann", checkpoint: str = "a", seed: int = 1, done: Sequence[int] = (), **fields: Any
) -> list[ImagePlan]:
    """The plans of one job with small pictures and few steps."""
    request = GenerationRequest(
        **({"width": 32, "height": 32, "steps": 4, "sampler": "Euler", "precision": "fp32", "seed": seed} | fields)
    )
    resolved = ResolvedRequest(
        request=request, checkpoint=FileIdentity(path=checkpoint, size=100, mtime_ns=1), checkpoint_name=checkpoint
    )
    return [
        ImagePlan(job, owner, image, image // request.batch_size, seed + image, 0, resolved)
        for image in range(request.image_count)
        if image not in done
    ]


def formula_engine(
    *,
    budget: int = 150,
    runner: FormulaRunner | None = None,
    recipe: Any = generate,
    faces: FaceShelf | None = None,
    **scheduling: Any,
) -> tuple[Engine, FormulaRunner, list[str]]:
    """An engine, its runner, and the list of checkpoints as they are loaded. budget: of the pipeline manager."""
    loader = FormulaLoader()
    runner = runner or FormulaRunner()
    engine = Engine(
        PipelineManager(loader, device=torch.device("cpu"), host=Tier(budget, budget)),
        recipe,
        scheduler=Scheduler(**scheduling),
        runner=runner,  # type: ignore[arg-type]  # the same one method
        faces=faces,
    )
    return engine, runner, loader.loaded


def run_to_end(engine: Engine, limit: int = 10_000) -> list[Any]:
    """All events until the engine is idle."""
    events: list[Any] = []
    for _ in range(limit):
        if engine.idle:
            return events
        events.extend(engine.step())
    raise AssertionError("the engine does not come to an end")
