"""The worked example does what it says: its frame is in the picture, its tab, route and command answer."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi import FastAPI
from safetensors.torch import load_file
from starlette.testclient import TestClient

from app.engine import UpscalerShelf
from app.extension_host import MODULE_PREFIX, ExtensionHost
from app.hooks import Registry
from app.jobs.expand import expand
from app.launch.extensions import tables_of, targets_of, upscalers_of
from app.models.checkpoint_file import open_weights
from app.networks.patch import FilePatch
from app.recipes import Decode, Pass, draw, with_stages
from app.recipes.passes import Drawn
from app.samplers import Denoised, ModelSigmas, SamplerOptions, ScheduleInputs
from app.schema.choices import find_sampler, find_schedule
from app.training import plan, train
from tests.jobs.workplace import request, resolve
from tests.recipes.driver import Driver, resolved
from tests.recipes.driver import plan as driver_plan
from tests.training.making import asked, draw_pictures, tiny

HERE = Path(__file__).parents[2]


@pytest.fixture
def registry() -> Iterator[Registry]:
    """The host as the program has it, with this extension alone."""
    found = Registry()
    others = [folder.name for folder in HERE.iterdir() if folder.name != "example"]
    host = ExtensionHost([HERE], found, others)
    host.load()
    host.load_for_engine()
    assert {one.name: (one.state, one.problem) for one in host.extensions}["example"] == ("loaded", "")
    yield found
    for name in [name for name in sys.modules if name.startswith(f"{MODULE_PREFIX}.example")]:
        del sys.modules[name]


def drawn_with(registry: Registry, **values: object) -> torch.Tensor:
    """A black picture of 8 x 6 drawn through the stages."""

    def black(image: Any, tools: Any, passing: Pass) -> Generator[Any, Any, Drawn]:
        yield from ()
        return Drawn(torch.zeros(1, 4, 1, 1), False, pixels=torch.zeros(3, 6, 8, dtype=torch.uint8))

    wish = request(extensions={"example": values} if values else {})
    (plan,) = expand("job", "anna", resolve(wish))
    recipe = with_stages(black, registry.owners("register_stages"))(plan, None)  # type: ignore[arg-type]
    with pytest.raises(StopIteration) as ended:
        next(recipe)
    pixels: torch.Tensor = ended.value.value.pixels
    return pixels


def test_a_request_that_names_it_gets_a_frame(registry: Registry) -> None:
    pixels = drawn_with(registry, width=1, grey=200)
    assert pixels[:, 1:-1, 1:-1].eq(0).all()
    assert pixels.sum() == 200 * 3 * (6 * 8 - 4 * 6)


def test_other_requests_are_drawn_as_ever(registry: Registry) -> None:
    assert drawn_with(registry).eq(0).all()
    assert drawn_with(registry, grey=200).eq(0).all()


def test_a_frame_larger_than_the_picture_covers_it(registry: Registry) -> None:
    assert drawn_with(registry, width=99).eq(255).all()


def test_its_sampler_walks(registry: Registry) -> None:
    assert find_sampler("k_midpoint", registry.choices()).name == "Midpoint"
    # A model that always expects zeros: x falls as sigma does, whatever the rule.
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
    walk = tables_of(registry).samplers["Midpoint"]
    sampling = walk(torch.full((1, 4, 2, 2), 8.0), sigmas, None, SamplerOptions())  # type: ignore[arg-type]
    point, asked = next(sampling), [8.0]
    for expected in (4.0, 2.0, 1.0):
        point = sampling.send(Denoised(torch.zeros_like(point.x)))
        assert torch.allclose(point.x, torch.full((1, 4, 2, 2), expected))
        asked.append(point.sigma)
    assert asked == [8, 4, 2, 1]
    with pytest.raises(StopIteration) as ended:
        sampling.send(Denoised(torch.zeros_like(point.x)))
    assert ended.value.value.abs().max() < 1e-6


def test_its_schedule_falls_evenly_in_the_root(registry: Registry) -> None:
    assert find_schedule("quadratic", registry.choices()).label == "Quadratic"
    levels = tables_of(registry).schedules["Quadratic"](5, ScheduleInputs(ModelSigmas.scaled_linear(), 1.0, 9.0))
    assert levels.sqrt().tolist() == [3.0, 2.5, 2.0, 1.5, 1.0, 0.0]


def test_its_upscaler_makes_four_of_each_pixel(registry: Registry) -> None:
    shelf = UpscalerShelf(torch.device("cpu"), brought=upscalers_of(registry))
    pixels = torch.arange(3 * 64, dtype=torch.uint8).reshape(3, 8, 8)
    larger = shelf.enlarged(pixels, "Doubling", None, 32, 32)
    assert torch.equal(larger, pixels.repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_its_guide_holds_strong_colours_back(registry: Registry) -> None:
    ((owner, make),) = registry.owners("register_guides")
    recipe = with_stages(draw, [], [(owner, make)])

    def strongest(values: dict[str, Any]) -> float:
        driver = Driver()
        wide = {"prompt": "x" * 300, "extensions": {"example": values}}
        driver.run(recipe, driver_plan(resolved(**wide)))
        return float(driver.of(Decode)[0].latent.abs().max())

    assert strongest({}) > 2.5
    assert strongest({"limit": 0.5}) < 0.5


def test_its_method_is_trained_to_a_file_that_prompts_can_name(registry: Registry, tmp_path: Path) -> None:
    model, data = tiny(tmp_path), draw_pictures(tmp_path / "data", 2)
    request = asked(data, "example/cast", steps=2, prior="none", method_settings={"rate": 10.0})
    targets = targets_of(registry)
    assert plan(request, model, targets=targets).parameters == 4
    path = train(request, model, tmp_path / "run", targets=targets)
    assert path is not None
    change = load_file(path)
    assert change["lora_unet_conv_out.diff_b"].abs().min() > 0
    assert change["lora_unet_conv_out.diff"].eq(0).all()
    assert not model.unet.conv_out._forward_hooks
    assert any("conv_out" in name for name in FilePatch(open_weights(path), "cast").targets(model))


def test_the_infotext_names_it(registry: Registry) -> None:
    for values, expected in (({"width": 2}, [("Framed by", "example")]), ({"width": 0}, [])):
        (plan,) = expand("job", "anna", resolve(request(extensions={"example": values})))
        assert registry.image_saving(plan) == expected


def test_its_route_answers(registry: Registry) -> None:
    app = FastAPI()
    for owner, router in registry.owners("register_routes"):
        app.include_router(router, prefix=f"/ext/{owner}")
    answer = TestClient(app).get("/ext/example/inside", params={"width": 512, "height": 768, "frame": 16})
    assert answer.json() == {"width": 480, "height": 736}


def test_its_command_answers(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    command = registry.table("register_commands")["frame"]
    assert command.run(["512", "768", "16"]) == 0
    assert capsys.readouterr().out == "480 x 736\n"
    assert command.run(["wide"]) == 2


def test_its_tab_has_a_label(registry: Registry) -> None:
    ((owner, tab),) = registry.owners("register_tabs")
    assert (owner, tab.label) == ("example", "Frames")
