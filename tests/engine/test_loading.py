"""How a choice is read from the disk: what it will take is told before, flags act, answers leave inference mode."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from app.engine import Loading, ModelChoice, Runner
from app.engine.kept import Key
from app.language import Reading, Timing, Tokenizer, plan_texts
from app.models import taken
from app.recipes import EncodeText
from app.samplers import ModelSigmas
from app.schema.errors import UnsupportedModel
from tests.engine.studio import CPU, identity
from tests.models.checkpoints import write_tiny_checkpoint


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.safetensors")


def choice(file: Path, vae: Path | None = None, precision: str = "fp32") -> ModelChoice:
    return ModelChoice(identity(file), identity(vae) if vae else None, precision)


@pytest.mark.parametrize(
    ("dtype", "precision"), [(torch.float16, "fp32"), (torch.float32, "fp32"), (torch.float16, "bf16")]
)
def test_the_memory_of_a_choice_is_known_before_it_is_read(tmp_path: Path, dtype: torch.dtype, precision: str) -> None:
    file = write_tiny_checkpoint(tmp_path / "a.safetensors", dtype=dtype)
    loading = Loading(CPU)
    needs = loading.survey(choice(file, precision=precision), unet=None, vae=None)
    model = loading(choice(file, precision=precision))
    parts = [model.unet, *(encoder.module for encoder in model.text_encoders)]
    assert needs.checkpoint.memory == pytest.approx(taken(parts).counted, rel=0.01)
    assert needs.vae.memory == pytest.approx(taken([model.vae.module]).counted, rel=0.01)
    assert needs.checkpoint.stored + needs.vae.stored == pytest.approx(file.stat().st_size, rel=0.05)


def test_checkpoints_of_one_kind_have_one_signature(file: Path, tmp_path: Path) -> None:
    loading = Loading(CPU)

    def signature(file: Path, precision: str = "fp32") -> object:
        return loading.survey(choice(file, precision=precision), unet=None, vae=None).checkpoint.signature

    same = write_tiny_checkpoint(tmp_path / "same.safetensors", seed=1)
    wider = write_tiny_checkpoint(tmp_path / "wider.safetensors", channels=(64, 64, 64, 64))
    assert signature(same) == signature(file)
    assert signature(wider) != signature(file)
    assert signature(file, "bf16") != signature(file)


def test_a_checkpoint_without_a_vae_wants_one(tmp_path: Path) -> None:
    bare = write_tiny_checkpoint(tmp_path / "bare.safetensors", without=("first_stage_model.",))
    with pytest.raises(UnsupportedModel, match=r"bare\.safetensors holds no VAE\. Choose a VAE file"):
        Loading(CPU).survey(choice(bare), unet=None, vae=None)


def test_a_u_net_in_eight_bits_takes_a_quarter_and_is_another_model(file: Path) -> None:
    whole, small = Loading(CPU)(choice(file)), Loading(CPU, eight_bits=torch.float8_e4m3fn)(choice(file))
    assert taken([small.unet]).host < 0.27 * taken([whole.unet]).host
    assert small.dtype == torch.float32
    assert small.fingerprint != whole.fingerprint


def test_xformers_that_does_not_work_here_is_said_once_and_done_without(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loading = Loading(CPU, attention="xformers")
    with caplog.at_level(logging.WARNING):
        first, _ = loading(choice(file)), loading(choice(file))
    assert caplog.text.count("xformers does not work here, PyTorch's own attention is used") == 1
    assert "XFormers" not in str({type(one).__name__ for one in first.unet.attn_processors.values()})


def test_encoded_texts_can_be_used_outside_of_inference_mode(file: Path) -> None:
    model = Loading(CPU)(choice(file))
    sigmas = ModelSigmas.from_alphas_cumprod(model.alphas_cumprod)
    unit = plan_texts("a cat", "", Reading(Timing(4))).positive[0].unit
    (schedule,) = Runner(Tokenizer()).run(model, sigmas, [EncodeText(unit)])
    assert not schedule.at(0, 4).context.is_inference()


def test_a_lent_text_encoder_makes_the_whole_model_under_another_fingerprint(file: Path, tmp_path: Path) -> None:
    mute = write_tiny_checkpoint(tmp_path / "mute.safetensors", without=("cond_stage_model.",))
    loading, whole = Loading(CPU), choice(file)
    with pytest.raises(UnsupportedModel, match=r"mute\.safetensors holds no text encoder"):
        loading.survey(choice(mute), unet=None, vae=None)
    lent = choice(mute)._replace(text_encoders=(identity(file),))
    assert loading.survey(lent, unet=None, vae=None) == loading.survey(whole, unet=None, vae=None)
    model, expected = loading(lent), loading(whole)
    ours, theirs = (one.text_encoders[0].module.state_dict() for one in (model, expected))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
    assert model.fingerprint != expected.fingerprint
    assert Key.both(lent)[0] != Key.both(choice(mute))[0]
