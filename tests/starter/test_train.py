"""All stages with tiny networks and a handful of steps: the file that comes out is one the product loads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from app.conditioning import encode_unit
from app.files import CHECKPOINT, Folders, ModelLibrary, recommended
from app.language import Reading, Timing, Tokenizer, plan_text
from app.models import load_checkpoint
from app.starter import train
from app.starter.autoencoder import drawn, picture
from app.starter.captions import training_scene
from app.starter.diffusion import build_text_encoder, build_unet, token_ids
from app.training import Snapshots
from tests.starter.tiny import shrink
from tests.training.lessons import digest, newest

TEXT = "a red house at night, sketch"
DIFFUSION = ("--stage", "diffusion", "--stage", "cooldown", "--stage", "export", "--steps", "4", "--cooldown", "3")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run after its VAE and latents, and everything tiny until the last test of this file."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(train, "VAE_BATCH", 4)
        patch.setattr(train, "BATCH", 2)
        patch.setattr(train, "PRODUCT", folder / "product.safetensors")
        patch.setattr(train, "pictures", lambda numbers: torch.stack([picture(train.SEED, n) for n in numbers[:6]]))
        patch.setattr("app.starter.diffusion._used_tokens", lambda: set(token_ids(TEXT, Tokenizer())))
        train.train_vae(folder, steps=4)
        train.make_latents(folder, count=6)
        yield folder


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "--folder", str(folder), *words])
    train.main()


@pytest.fixture(scope="module")
def product(run_folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        command(patch, run_folder, *DIFFUSION)
    return run_folder / "product.safetensors"


def test_the_latents_are_those_of_the_finished_vae(run_folder: Path) -> None:
    latents = load_file(run_folder / "latents.safetensors")["latents"]
    assert (latents.shape, latents.dtype) == ((6, 4, 16, 16), torch.float16)
    module = train.load_vae(run_folder)
    x = torch.stack([picture(train.SEED, number) for number in range(6)]).float() / 127.5 - 1
    with torch.no_grad():
        mean = module.encode(x, return_dict=False)[0].mean * 0.18215
    torch.testing.assert_close(latents.float(), mean, rtol=0, atol=5e-3)
    assert 0.7 < mean.std() < 1.4  # evened out on other pictures


def test_some_are_kept_once_more_without_their_moon_or_thing(run_folder: Path) -> None:
    kept = load_file(run_folder / "latents.safetensors")
    scenes = [training_scene(train.SEED, number) for number in range(6)]
    numbers = kept["lacking_numbers"].tolist()
    assert {number for number, scene in enumerate(scenes) if scene.moon} <= set(numbers)
    assert kept["lacking"].shape == (len(numbers), 4, 16, 16)
    module = train.load_vae(run_folder)
    x = drawn(scenes[numbers[0]].lacking, numbers[0])[None].float() / 127.5 - 1
    with torch.no_grad():
        mean = module.encode(x, return_dict=False)[0].mean * 0.18215
    torch.testing.assert_close(kept["lacking"][:1].float(), mean, rtol=0, atol=5e-3)


def test_what_is_finished_is_not_done_again(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "build_autoencoder", None)
    before = [(run_folder / name).stat().st_mtime_ns for name in ("vae.safetensors", "latents.safetensors")]
    train.train_vae(run_folder)
    train.make_latents(run_folder)
    assert [(run_folder / name).stat().st_mtime_ns for name in ("vae.safetensors", "latents.safetensors")] == before


def test_a_run_taken_up_again_comes_to_the_same_weights(run_folder: Path, product: Path, tmp_path: Path) -> None:
    for name in ("vae.safetensors", "latents.safetensors"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    for steps in (1, 3, 4):
        train.train_diffusion(tmp_path, steps, shuffled=False)
    assert digest(newest(tmp_path / "diffusion").tensors) == digest(newest(run_folder / "diffusion").tensors)


def test_cooling_down_begins_where_the_main_stage_stands_and_leaves_it_alone(run_folder: Path, product: Path) -> None:
    start, end = newest(run_folder / "diffusion"), newest(run_folder / "cooldown-4")
    assert (start.step, end.step) == (4, 3)
    name = "unet.conv_in.weight"
    moved = (end.tensors[f"weights.{name}"] - start.tensors[f"weights.{name}"]).abs().max().item()
    assert 0 < moved <= train.RATE * 3


def test_the_decoder_goes_on_learning_while_the_latents_stay(run_folder: Path, tmp_path: Path) -> None:
    for name in ("vae.safetensors", "latents.safetensors"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    train.train_decoder(tmp_path, 2)
    before, after = train.load_vae(tmp_path), train.load_vae(tmp_path, decoder=True)
    changed = {
        name
        for (name, one), other in zip(before.state_dict().items(), after.state_dict().values(), strict=True)
        if not torch.equal(one, other)
    }
    assert "decoder.conv_out.weight" in changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)


def test_a_run_may_begin_with_an_earlier_starter(run_folder: Path, product: Path, tmp_path: Path) -> None:
    train.train_vae(tmp_path, 1, product)
    train.make_latents(tmp_path, 6)
    train.train_diffusion(tmp_path, 1, False, product)
    earlier, begun = load_checkpoint(product), newest(tmp_path / "diffusion").tensors
    weight = begun["weights.unet.conv_in.weight"]
    assert 0 < (weight - earlier.unet.conv_in.weight).abs().max() <= train.RATE
    assert not torch.equal(weight, build_unet().conv_in.weight)


def test_the_file_says_what_it_is(product: Path) -> None:
    model = load_checkpoint(product)
    assert model.prediction_type == "v"
    assert model.family.name == "SD1"
    assert (model.recommended.width, model.recommended.height) == (128, 128)
    assert (model.recommended.steps, model.recommended.cfg_scale, model.recommended.sampler) == (20, 4.0, "DPM++ 2M")
    file = ModelLibrary(Folders.of(data_dir=product.parent, ckpt_dir=product.parent)).find("product", CHECKPOINT)
    assert recommended(file) == {"width": 128, "height": 128, "steps": 20, "cfg_scale": 4.0, "sampler": "DPM++ 2M"}
    assert file.metadata["modelspec.description"].endswith("trained from scratch, 7 steps.")


def test_the_file_answers_as_the_averaged_weights_do(run_folder: Path, product: Path) -> None:
    averages = newest(run_folder / "cooldown-4").tensors
    unet, text_encoder = build_unet(), build_text_encoder()
    unet.load_state_dict(train._part(averages, "average.unet."))
    text_encoder.load_state_dict(train._part(averages, "average.text."))
    model, tokenizer = load_checkpoint(product), Tokenizer()
    unit = plan_text(TEXT, Reading(Timing(20)))[0].unit
    context = encode_unit(model.text_encoders, unit, tokenizer).at(0, 20).context
    x, t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([600])
    with torch.no_grad():
        wanted = text_encoder(torch.tensor([token_ids(TEXT, tokenizer)])).last_hidden_state
        torch.testing.assert_close(context, wanted, rtol=0, atol=5e-3)
        answer, right = model.unet(x, t, context)[0], unet(x, t, wanted)[0]
    assert (answer - right).abs().max() < 0.01 * right.abs().max()


def test_the_control_never_becomes_the_product(
    run_folder: Path, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = product.read_bytes()
    command(monkeypatch, run_folder, "--shuffle-captions", *DIFFUSION)
    control = run_folder / "control.safetensors"
    assert product.read_bytes() == before
    command(monkeypatch, run_folder, "--stage", "export")
    assert load_file(product).keys() == load_file(control).keys()
    name = "model.diffusion_model.out.2.weight"
    shuffled = newest(run_folder / "cooldown-4-shuffled").tensors["average.unet.conv_out.weight"]
    straight = newest(run_folder / "cooldown-4").tensors["average.unet.conv_out.weight"]
    assert torch.equal(load_file(control)[name], shuffled.half())
    assert torch.equal(load_file(product)[name], straight.half())
    assert not torch.equal(shuffled.half(), straight.half())


def test_without_a_snapshot_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There is no snapshot to export"):
        train.export(tmp_path, tmp_path / "x.safetensors")
    assert Snapshots(tmp_path / "diffusion").newest() is None
