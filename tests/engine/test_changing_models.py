"""Real files change places in memory: parts apart, memory written over, each job with its own, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.schema.events import Loading, ModelLoading, RowFinished
from tests.engine.soak import soak
from tests.engine.studio import Studio, pictures
from tests.models.checkpoints import write_tiny_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("abc"):
        write_tiny_checkpoint(folder / f"{name}.safetensors", seed=seed)
    return folder


def rgb(events: list[object]) -> dict[str, bytes]:
    return {event.job: event.rgb for event in events if isinstance(event, RowFinished)}


def test_a_checkpoint_with_another_vae_is_not_loaded_again(folder: Path) -> None:
    studio = Studio()
    a, b = folder / "a.safetensors", folder / "b.safetensors"
    made = rgb(studio.run(pictures("own", a), pictures("other", a, b), pictures("again", a)))
    assert sorted(studio.loading.loaded) == ["VAE of a", "VAE of b", "a"]
    assert made["own"] == made["again"] != made["other"]


def test_a_model_is_written_over_by_the_next_of_its_kind_and_draws_as_from_the_disk(folder: Path) -> None:
    a, b = folder / "a.safetensors", folder / "b.safetensors"
    wanted = {name: rgb(Studio().run(pictures(name, file))) for name, file in (("a", a), ("b", b))}
    studio = Studio(budget=1)
    places = set()
    for name, file in (("a", a), ("b", b), ("a", a)):
        assert rgb(studio.run(pictures(name, file))) == wanted[name]
        model = studio.pipelines.kept(studio.pipelines.in_use)  # type: ignore[arg-type]
        assert model is not None
        places.add((model.unet.conv_in.weight.data_ptr(), model.vae.module.decoder.conv_in.weight.data_ptr()))
    assert len(places) == 1
    assert len(studio.pipelines.memory().models) == 2


def test_jobs_for_different_checkpoints_each_get_theirs_in_whatever_order(folder: Path) -> None:
    files = {name: folder / f"{name}.safetensors" for name in "abc"}
    alone = {name: rgb(Studio().run(pictures(name, file)))[name] for name, file in files.items()}
    jobs = {name: pictures(name, file, owner=name) for name, file in files.items()}
    for order in ("abc", "cba", "bac"):
        assert rgb(Studio(budget=1, patience=0.0).run(*(jobs[name] for name in order))) == alone
    studio = Studio(budget=1, patience=3600.0)  # of a machine however slow
    studio.run(*jobs.values())
    assert [name for name in studio.loading.loaded if "VAE" not in name] == ["a", "b", "c"]


def test_models_at_hand_take_turns_and_none_is_loaded_twice(folder: Path) -> None:
    studio = Studio()
    for name in "ab":
        studio.run(pictures(name, folder / f"{name}.safetensors"))
    events = studio.run(
        pictures("one", folder / "a.safetensors", owner="ann", steps=6),
        pictures("two", folder / "b.safetensors", owner="bob", steps=6),
    )
    order = [event.job for event in events if type(event).__name__ == "RowAdvanced"]
    assert order.index("two") < 4  # it did not wait for its patience
    assert [name for name in studio.loading.loaded if "VAE" not in name] == ["a", "b"]


def test_a_load_tells_parts_bytes_and_speed(folder: Path) -> None:
    studio = Studio()
    told: list[ModelLoading] = []
    studio.engine.listen(lambda event: told.append(event) if isinstance(event, ModelLoading) else None)
    studio.run(pictures("j", folder / "a.safetensors"))
    loadings = [event.loading for event in told if event.loading is not None]
    assert [event.jobs for event in told] == [("j",)] * len(told)
    assert list(dict.fromkeys(loading.part for loading in loadings)) == ["VAE", "U-Net", "text encoder"]
    last = loadings[-1]
    assert isinstance(last, Loading)
    assert last.name == "a.safetensors"
    assert 0.99 < last.done / last.total <= 1
    assert last.rate > 0
    assert told[-1].phase.startswith("Loading a: text encoder, ")
    assert told[-1].phase.endswith(" MB/s")


def test_a_model_that_was_unloaded_comes_back_when_it_is_told_to(folder: Path) -> None:
    studio = Studio()
    studio.run(pictures("j", folder / "a.safetensors"))
    studio.engine.unload(None)
    assert studio.engine.memory().models == ()
    studio.engine.reload()
    assert [model.kind for model in studio.engine.memory().models] == ["checkpoint", "vae"]


def test_a_few_swaps_leave_nothing_in_memory(tmp_path: Path) -> None:
    used = soak(tmp_path, swaps=36)
    assert abs(used[-1] / used[10] - 1) < 0.02


@pytest.mark.slow
def test_two_hundred_swaps_of_large_files_leave_nothing_in_memory(tmp_path: Path) -> None:
    used = soak(tmp_path, swaps=200, channels=(96, 192, 384, 384), vae_channels=(64, 128, 256, 256), vae_layers=2)
    print(f"USS after the 10th swap {used[10] / 1e6:.0f} MB, after the last {used[-1] / 1e6:.0f} MB")
    assert abs(used[-1] / used[10] - 1) < 0.02
