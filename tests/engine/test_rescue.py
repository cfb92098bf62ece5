"""When numbers overflow or memory runs out, only the stage at fault is done again, and the next job notices nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from app.models.vae_in_strips import decode_in_strips
from app.schema.events import RowFailed, RowFinished
from tests.engine.studio import Studio, pictures
from tests.models.checkpoints import write_tiny_checkpoint


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "one.safetensors")


@pytest.fixture(scope="module")
def other(file: Path) -> Path:
    return write_tiny_checkpoint(file.with_name("other.safetensors"), seed=5)


def finished(events: list[Any]) -> list[RowFinished]:
    return [event for event in events if isinstance(event, RowFinished)]


def failed(events: list[Any]) -> list[RowFailed]:
    return [event for event in events if isinstance(event, RowFailed)]


def overflowing(monkeypatch: pytest.MonkeyPatch, kind: type, method: str, *dtypes: torch.dtype) -> list[torch.dtype]:
    """A model class gives NaN in these formats; returns those of its calls."""
    called: list[torch.dtype] = []
    run: Callable[..., Any] = getattr(kind, method)

    def spoilt(self: Any, first: torch.Tensor, *rest: Any, **named: Any) -> Any:
        called.append(first.dtype)
        (answer,) = run(self, first, *rest, **named)
        return (answer * float("nan") if first.dtype in dtypes else answer,)

    monkeypatch.setattr(kind, method, spoilt)
    return called


BF16, FP32 = torch.bfloat16, torch.float32


def test_a_u_net_that_overflows_is_run_again_higher_and_stays_there(
    file: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio()
    called = overflowing(monkeypatch, UNet2DConditionModel, "forward", BF16)
    (first,) = finished(studio.run(pictures("one", file, precision="bf16")))
    assert called == [BF16, FP32, FP32]
    assert first.facts == (("Precision", "fp32"),)
    assert first.notices == (
        (
            "unet_precision_raised",
            "The U-Net of one.safetensors gave values that are not numbers; it now runs in fp32.",
        ),
    )
    called.clear()
    (second,) = finished(studio.run(pictures("two", file, precision="bf16")))
    assert called == [FP32, FP32]
    assert (second.rgb, second.facts, second.notices) == (first.rgb, first.facts, ())
    called.clear()
    studio.run(pictures("three", other, precision="bf16"))
    assert called[0] == BF16


def test_the_rest_of_such_a_model_stays_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio()
    overflowing(monkeypatch, UNet2DConditionModel, "forward", BF16)
    plans = pictures("one", file, precision="bf16")
    studio.run(plans)
    model = studio.pipelines.kept(studio.pipelines.in_use)  # type: ignore[arg-type]
    assert model is not None
    assert (model.dtype, model.text_encoders[0].dtype, model.vae.dtype) == (FP32, BF16, BF16)


def test_a_u_net_that_overflows_in_every_format_makes_no_picture(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio()
    with monkeypatch.context() as broken:
        overflowing(broken, UNet2DConditionModel, "forward", BF16, FP32)
        (event,) = failed(studio.run(pictures("one", file, precision="bf16", batch_size=2), []))[:1]
    assert (event.code, "not numbers" in event.message) == ("not_finite", True)
    called = overflowing(monkeypatch, UNet2DConditionModel, "forward")
    assert len(finished(studio.run(pictures("two", file, precision="bf16")))) == 1
    assert called == [BF16, BF16]  # float32 did not help, so it was not the format's fault


def test_a_vae_that_overflows_decodes_again_in_float32_and_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio()
    overflowing(monkeypatch, AutoencoderKL, "decode", BF16)
    (first,) = finished(studio.run(pictures("one", file, precision="bf16")))
    assert first.facts == (("VAE precision", "fp32"),)
    assert [code for code, _ in first.notices] == ["vae_precision_raised"]
    studio.pipelines.unload(None)
    called = overflowing(monkeypatch, AutoencoderKL, "decode", BF16)
    studio.run(pictures("two", file, precision="bf16"))
    assert called == [FP32]


def test_a_vae_that_overflows_in_every_format_makes_no_picture(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overflowing(monkeypatch, AutoencoderKL, "decode", BF16, FP32)
    events = Studio().run(pictures("one", file))
    assert [event.code for event in failed(events)] == ["not_finite"]
    assert finished(events) == []


class Full:
    """A U-Net or VAE that finds no memory while `tight`; writes down what was tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, largest_batch: int, largest_side: int) -> None:
        self.tried: list[str] = []
        self.tight = True
        forward, decode = UNet2DConditionModel.forward, AutoencoderKL.decode
        full = self

        def limited_unet(self: Any, sample: torch.Tensor, *rest: Any, **named: Any) -> Any:
            full.tried.append(f"U-Net with {len(sample)}")
            if full.tight and len(sample) > largest_batch:
                raise torch.OutOfMemoryError("injected")
            return forward(self, sample, *rest, **named)

        def limited_vae(self: Any, latent: torch.Tensor, **named: Any) -> Any:
            full.tried.append(f"VAE with {max(latent.shape[-2:])}")
            if full.tight and max(latent.shape[-2:]) > largest_side:
                raise torch.OutOfMemoryError("injected")
            return decode(self, latent, **named)

        def limited_strips(module: Any, latent: torch.Tensor, largest: int) -> torch.Tensor:
            full.tried.append("VAE in strips")
            if full.tight:
                raise torch.OutOfMemoryError("injected")
            return decode_in_strips(module, latent, largest)

        monkeypatch.setattr(UNet2DConditionModel, "forward", limited_unet)
        monkeypatch.setattr(AutoencoderKL, "decode", limited_vae)
        monkeypatch.setattr("app.models.vae.decode_in_strips", limited_strips)

    def offload(self) -> bool:
        self.tried.append("offload")
        helped, self.tight = self.tight, False
        return helped


def test_without_memory_the_group_is_halved_then_the_vae_in_strips_then_everything_else_moved_out(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = finished(Studio().run(pictures("calm", file, batch_size=2, steps=1, width=576)))
    full = Full(monkeypatch, largest_batch=1, largest_side=32)
    studio = Studio(offload=full.offload)
    tight = finished(studio.run(pictures("tight", file, batch_size=2, steps=1, width=576)))
    assert full.tried == [
        "U-Net with 4", "U-Net with 2", "U-Net with 1", "U-Net with 1", "U-Net with 2", "U-Net with 1", "U-Net with 1",
        "VAE with 72", "VAE with 72", "VAE in strips", "offload", "VAE in strips",
        "VAE with 72",
    ]  # fmt: skip
    assert [len(picture.rgb) for picture in tight] == [len(picture.rgb) for picture in calm]
    differences = [abs(ours - theirs) for ours, theirs in zip(tight[1].rgb, calm[1].rgb, strict=True)]
    assert max(differences) <= 1  # a batch of another size rounds otherwise


def test_a_job_that_runs_out_of_memory_leaves_the_next_one_untouched(
    file: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = finished(Studio().run(pictures("alone", file)))
    studio = Studio()
    studio.run(pictures("before", other))
    full = Full(monkeypatch, largest_batch=0, largest_side=100)
    (event,) = failed(studio.run(pictures("large", file)))
    assert event.code == "out_of_memory"
    assert {one.name for one in studio.pipelines.memory().models} == {"one.safetensors"}  # the idle one made room
    full.tight = False
    (after,) = finished(studio.run(pictures("next", file)))
    assert after.rgb == wanted.rgb
