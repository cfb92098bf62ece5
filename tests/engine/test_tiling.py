"""Tiling: pictures whose edges meet, beside pictures whose edges do not, from the same model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.engine import Engine, Loading, PipelineManager, Runner, Scheduler, Tier
from app.files import Identity
from app.language import Tokenizer
from app.models import load_checkpoint, seamless
from app.recipes import generate
from app.schema.events import RowFinished
from app.schema.request import FileIdentity
from tests.engine.formula import image_plans, run_to_end
from tests.models.checkpoints import write_tiny_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> FileIdentity:
    path = write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.safetensors", "SD1")
    found = Identity.of(path)
    return FileIdentity(path=found.path, size=found.size, mtime_ns=found.mtime_ns)


def plans(file: FileIdentity, *jobs: tuple[str, bool]) -> list[Any]:
    """Jobs of one picture each; True: it tiles."""
    made = []
    for job, tiling in jobs:
        (plan,) = image_plans(job, width=64, height=64, steps=1, tiling=tiling, prompt="a cat", seed=7)
        made.append(plan._replace(resolved=plan.resolved.model_copy(update={"checkpoint": file})))
    return made


def pictures(jobs: list[Any]) -> dict[str, bytes]:
    pipelines = PipelineManager(Loading(CPU), device=CPU, host=Tier(1 << 30, 1 << 30))
    engine = Engine(pipelines, generate, scheduler=Scheduler(), runner=Runner(Tokenizer(), pipelines.offload))
    for plan in jobs:
        engine.submit(plan)
    return {event.job: event.rgb for event in run_to_end(engine) if isinstance(event, RowFinished)}


def test_a_tiling_picture_and_a_plain_one_do_not_disturb_each_other(file: FileIdentity) -> None:
    together = pictures(plans(file, ("plain", False), ("tiling", True)))
    assert together == pictures(plans(file, ("plain", False))) | pictures(plans(file, ("tiling", True)))
    assert together["plain"] != together["tiling"]


def test_a_seamless_model_has_no_place_where_a_picture_begins(file: FileIdentity) -> None:
    model = load_checkpoint(file.path)
    undo = seamless([model.unet, model.vae.module])
    latent = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(3))
    context = torch.randn(1, 77, model.family.context_width, generator=torch.Generator().manual_seed(4))

    def answer(x: torch.Tensor) -> torch.Tensor:
        return model.unet(x, torch.tensor([400]), context, return_dict=False)[0]

    with torch.inference_mode():
        assert torch.allclose(answer(latent.roll(8, -1)), answer(latent).roll(8, -1), atol=1e-4)
        assert torch.allclose(model.vae.decode(latent.roll(4, -1)), model.vae.decode(latent).roll(32, -1), atol=1e-3)
        undo()
        assert not torch.allclose(answer(latent.roll(8, -1)), answer(latent).roll(8, -1), atol=1e-2)
