"""Ten jobs of ten different network sets in one queue from two owners: each picture is the one made alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.engine import Engine, Loading, PipelineManager, Runner, Scheduler, Tier
from app.language import Tokenizer
from app.models import load_checkpoint
from app.networks import NetworkSet
from app.recipes import generate
from app.schema.events import RowFinished
from app.schema.request import ImagePlan, NetworkUse
from tests.engine.studio import CPU, GIGABYTE, identity, pictures
from tests.models.checkpoints import write_tiny_checkpoint
from tests.networks.making import kohya, layers, low_rank, saved, state_hash


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    model = load_checkpoint(write_tiny_checkpoint(folder / "model.safetensors"))
    for name in "abc":
        tensors = {}
        for number, (path, layer) in enumerate(layers(model).items()):
            down, up = low_rank(layer, 2, 1000 * ord(name) + number)
            tensors |= {f"{kohya(path)}.lora_down.weight": down, f"{kohya(path)}.lora_up.weight": up * 0.2}
        saved(folder / f"{name}.safetensors", tensors)
    saved(folder / "qzxv.safetensors", {"emb_params": torch.randn(2, 32)})
    torch.manual_seed(1)
    parts = [torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.Linear(64, 32)) for _ in range(2)]
    states = tuple({f"linear.{n}": t.detach() for n, t in part.state_dict().items()} for part in parts)
    torch.save({32: states, "layer_structure": [1, 2, 1]}, folder / "style.pt")
    return folder


def use(folder: Path, kind: str, file: str, strength: float = 1.0) -> NetworkUse:
    path = folder / file
    return NetworkUse(kind=kind, name=path.stem, file=identity(path), text=strength, unet=strength)


def sets(folder: Path) -> list[tuple[NetworkUse, ...]]:
    a, b, c = (use(folder, "lora", f"{name}.safetensors") for name in "abc")
    word, style = use(folder, "embedding", "qzxv.safetensors"), use(folder, "hypernet", "style.pt", 0.7)
    weak = use(folder, "lora", "a.safetensors", 0.3)
    return [(), (a,), (weak,), (b, c), (c,), (style,), (a, style), (word,), (a, b, c), (weak, word, style)]


def job(folder: Path, number: int, networks: tuple[NetworkUse, ...]) -> list[ImagePlan]:
    owner = ("ann", "ben")[number % 2]
    plans = pictures(f"job {number}", folder / "model.safetensors", owner=owner, prompt="a cat, qzxv", steps=2)
    return [plan._replace(resolved=plan.resolved.model_copy(update={"networks": networks})) for plan in plans]


def studio() -> tuple[PipelineManager, Engine]:
    tokenizer = Tokenizer()
    networks = NetworkSet(tokenizer.encode)
    pipelines = PipelineManager(Loading(CPU), device=CPU, host=Tier(GIGABYTE, GIGABYTE), networks=networks)
    runner = Runner(tokenizer, pipelines.offload)
    # No patience: sets change as often as they can.
    return pipelines, Engine(pipelines, generate, scheduler=Scheduler(patience=0.0), runner=runner)


def run(engine: Engine, *jobs: list[ImagePlan]) -> dict[str, RowFinished]:
    for plans in jobs:
        for plan in plans:
            engine.submit(plan)
    finished = {}
    while not engine.idle:
        finished |= {event.job: event for event in engine.step() if isinstance(event, RowFinished)}
    return finished


def test_each_picture_equals_the_one_made_alone_and_nothing_is_left_on_the_model(folder: Path) -> None:
    jobs = [job(folder, number, networks) for number, networks in enumerate(sets(folder))]
    pipelines, engine = studio()
    together = run(engine, *jobs)
    model = pipelines.kept(pipelines.in_use) if pipelines.in_use else None
    assert model is not None
    choice = pipelines.in_use
    assert choice is not None
    with pipelines.use(choice._replace(networks=())):
        assert state_hash(model) == state_hash(load_checkpoint(folder / "model.safetensors"))
    _, engine = studio()
    for plans in jobs:
        (alone,) = run(engine, plans).values()
        assert alone.rgb == together[alone.job].rgb, alone.job
    assert len({event.rgb for event in together.values()}) == len(jobs)


def test_the_owner_is_told_how_well_each_network_fits_and_which_were_not_found(folder: Path) -> None:
    (plan,) = job(folder, 0, sets(folder)[6])
    resolved = plan.resolved.model_copy(update={"missing_networks": ("gone",)})
    _, engine = studio()
    (finished,) = run(engine, [plan._replace(resolved=resolved)]).values()
    told = dict(finished.notices)
    assert told["networks"].startswith("a: LoCon, ")
    assert "style: Hypernetwork, 1 of 1 widths used." in told["networks"]
    assert told["networks_missing"] == "Not found and left out: gone."
