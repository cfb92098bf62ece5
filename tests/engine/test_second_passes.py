"""Hires fix and the refiner through the engine: real small files, models that change on the way, batches in step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.engine import Engine, Scheduler
from app.extension_host import ExtensionHost
from app.files import Folders, ModelLibrary
from app.hooks import Registry
from app.jobs import Resolver
from app.jobs.expand import expand
from app.recipes import draw, with_stages
from app.schema.events import ModelLoading, RowAdvanced, RowFinished
from app.schema.request import GenerationRequest
from tests.engine.studio import GIGABYTE, Studio
from tests.models.checkpoints import write_tiny_checkpoint

EXTENSIONS = Path(__file__).parents[2] / "extensions"


class Atelier(Studio):
    """A studio with the built-in extensions and a library of two checkpoints."""

    def __init__(self, folder: Path, *, budget: int = GIGABYTE) -> None:
        super().__init__(budget=budget)
        registry = Registry()
        host = ExtensionHost([EXTENSIONS], registry)
        host.load()
        host.load_for_engine()
        recipe = with_stages(draw, registry.owners("register_stages"))
        self.engine = Engine(self.pipelines, recipe, scheduler=Scheduler(), runner=self.runner)
        self.told: list[str] = []
        self.engine.listen(lambda event: self.told.append(event.phase) if isinstance(event, ModelLoading) else None)
        self.resolver = Resolver(
            ModelLibrary(Folders.of(data_dir=folder, ckpt_dir=folder)),
            precision=lambda wanted: "fp32",
            extensions=dict(registry.owners("register_controls")),
            passes=dict(registry.owners("register_passes")),
            expanders=dict(registry.owners("register_expanders")),
        )

    def draw(self, **fields: Any) -> list[Any]:
        small = {"width": 64, "height": 64, "steps": 2, "sampler": "Euler", "seed": 1, "checkpoint": "a"}
        request = GenerationRequest(**(small | fields))
        return self.run(list(expand("job", "ann", self.resolver(request))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        write_tiny_checkpoint(folder / f"{name}.safetensors", seed=seed)
    return folder


def finished(events: list[Any]) -> list[RowFinished]:
    return [event for event in events if isinstance(event, RowFinished)]


@pytest.mark.parametrize("upscaler", ["Latent (nearest)", "Lanczos"])
def test_a_picture_in_two_passes_has_the_size_of_the_second(folder: Path, upscaler: str) -> None:
    events = Atelier(folder).draw(extensions={"hires_fix": {"upscaler": upscaler, "upscale_by": 1.5}})
    [picture] = finished(events)
    assert (picture.width, picture.height) == (96, 96)
    steps = [event.call for event in events if isinstance(event, RowAdvanced)]
    assert steps == [1, 2, 3, 4]
    assert {event.calls for event in events if isinstance(event, RowAdvanced)} == {4}


def test_the_second_pass_changes_the_checkpoint_and_a_batch_does_so_together(folder: Path) -> None:
    studio = Atelier(folder, budget=1)
    events = studio.draw(
        batch_size=2, extensions={"hires_fix": {"checkpoint": "b", "upscale_by": 1.5}, "refiner": {"checkpoint": "a"}}
    )
    assert len(finished(events)) == 2
    assert [name for name in studio.loading.loaded if "VAE" not in name] == ["a", "b", "a"]


def test_the_refiner_draws_the_rest_and_another_share_another_picture(folder: Path) -> None:
    made = {
        at: finished(Atelier(folder).draw(steps=4, extensions={"refiner": {"checkpoint": "b", "switch_at": at}}))[0].rgb
        for at in (0.3, 0.6)
    }
    plain = finished(Atelier(folder).draw(steps=4))[0].rgb
    assert len({plain, *made.values()}) == 3


def test_alone_and_in_a_batch_a_refined_picture_is_the_same(folder: Path) -> None:
    fields: dict[str, Any] = {"extensions": {"refiner": {"checkpoint": "b", "switch_at": 0.5}}}
    both = finished(Atelier(folder).draw(batch_size=2, **fields))
    alone = finished(Atelier(folder).draw(seed=2, **fields))
    pixels = [memoryview(one.rgb).tolist() for one in (both[1], alone[0])]
    assert max(abs(one - other) for one, other in zip(*pixels, strict=True)) <= 1


def test_a_skip_while_the_first_pass_is_decoded_ends_with_its_picture(folder: Path) -> None:
    studio = Atelier(folder)
    request = GenerationRequest(
        width=64,
        height=64,
        steps=2,
        sampler="Euler",
        seed=1,
        checkpoint="a",
        extensions={"hires_fix": {"upscaler": "Lanczos"}},
    )
    [plan] = expand("job", "ann", studio.resolver(request))
    studio.engine.submit(plan)
    events: list[Any] = []
    while not studio.engine.idle:
        events += studio.engine.step()
        if [event.call for event in events if isinstance(event, RowAdvanced)] == [1, 2]:
            studio.engine.skip("job")
    [picture] = finished(events)
    assert (picture.partial, picture.width) == (True, 64)


def test_a_first_pass_to_be_saved_comes_with_the_picture(folder: Path) -> None:
    events = Atelier(folder).draw(extensions={"hires_fix": {"upscale_by": 1.5, "save_first": True}})
    [beside] = finished(events)[0].beside
    plain = finished(Atelier(folder).draw())[0]
    assert (beside.name, beside.width, beside.height) == ("before-highres-fix", 64, 64)
    assert beside.rgb == plain.rgb


def test_a_plan_is_the_whole_truth(folder: Path) -> None:
    """What is stored says every file and text of every pass."""
    resolved = Atelier(folder).resolver(
        GenerationRequest(
            prompt="a cat",
            checkpoint="a",
            seed=1,
            extensions={"hires_fix": {"prompt": "a dog", "checkpoint": "b"}, "refiner": {"checkpoint": "a"}},
        )
    )
    second = resolved.passes["hires_fix"]
    assert [one.checkpoint_name for one in resolved.all_passes] == ["a", "b", "a", "a"]
    assert (second.request.prompt, second.passes["refiner"].request.prompt) == ("a dog", "a dog")
    assert type(resolved).model_validate_json(resolved.model_dump_json()) == resolved
