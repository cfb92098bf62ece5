"""The lesson: its loss is what diffusers' script computes, however it is batched; priors, masks and flips count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn.functional import mse_loss

from app.language import Tokenizer
from app.models import LoadedModel
from app.training.data import CaptionOptions, Deal
from app.training.lesson import DiffusionLesson, Draws, LessonSettings, Pictures, Prior
from app.training.precision import made_ready
from app.training.targets import (
    EmbeddingSettings,
    EmbeddingTarget,
    LoraSettings,
    LoraTarget,
    WeightsSettings,
    WeightsTarget,
)
from app.training.texts import Texts
from tests.training.making import asked, lesson_of, one_latent, stir, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


def lora(model: LoadedModel, **settings: Any) -> LoraTarget:
    learnt = LoraTarget(model, LoraSettings(rank=2, alpha=2.0, **settings))
    stir(learnt, by=0.02)
    return learnt


def first_batch(lesson: DiffusionLesson) -> Draws:
    """What the lesson draws for its first step, by its own means: it is noise and timesteps that are compared."""
    return lesson._drawn(lesson._pictures, lesson._pictures.deal.batch(0), "")


def gradients(learnt: Any, loss: Tensor) -> dict[str, Tensor]:
    for tensor in learnt.parameters().values():
        tensor.grad = None
    loss.backward()
    return {name: t.grad.clone() for name, t in learnt.parameters().items() if t.grad is not None}


@pytest.mark.parametrize(("prediction", "gamma"), [("epsilon", 0.0), ("v", 0.0), ("epsilon", 5.0), ("v", 5.0)])
def test_the_loss_is_that_of_diffusers_script(model: LoadedModel, prediction: Any, gamma: float) -> None:
    model.prediction_type = prediction
    learnt = lora(model)
    lesson = lesson_of(model, learnt, captions=("a cat", "a dog"), min_snr_gamma=gamma)
    drawn = first_batch(lesson)
    named = {"epsilon": "epsilon", "v": "v_prediction"}[prediction]
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=named)
    # The lines of examples/text_to_image/train_text_to_image_lora.py, from the noise on.
    noisy = scheduler.add_noise(drawn.latent, drawn.noise, drawn.t)
    hidden = Texts(model, Tokenizer()).frozen(drawn.captions).context
    target = drawn.noise if prediction == "epsilon" else scheduler.get_velocity(drawn.latent, drawn.noise, drawn.t)
    answer = model.unet(noisy, drawn.t, hidden, return_dict=False)[0]
    if gamma:
        snr = compute_snr(scheduler, drawn.t)
        weights = torch.stack([snr, gamma * torch.ones_like(drawn.t)], dim=1).min(dim=1)[0]
        weights = weights / snr if prediction == "epsilon" else weights / (snr + 1)
        loss = mse_loss(answer.float(), target.float(), reduction="none")
        expected = (loss.mean(dim=[1, 2, 3]) * weights).mean()
    else:
        expected = mse_loss(answer.float(), target.float(), reduction="mean")
    assert lesson.loss(0).item() == pytest.approx(expected.item(), rel=1e-5)
    learnt.detach()
    model.prediction_type = "epsilon"


def test_parts_of_one_picture_make_the_batch_of_four(model: LoadedModel) -> None:
    learnt = lora(model, text_factor=1.0)
    captions = ("a cat", "a dog", "a bird", "")
    whole = gradients(learnt, lesson_of(model, learnt, pictures=4, batch=4, captions=captions).loss(0))
    single = lesson_of(model, learnt, pictures=4, batch=1, captions=captions)
    parts = [gradients(learnt, single.loss(part) / 4) for part in range(4)]
    for name, gradient in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), gradient, rtol=1e-3, atol=1e-6)
    learnt.detach()


@pytest.mark.parametrize("text", [0.0, 1.0])
def test_checkpointing_changes_no_gradient(model: LoadedModel, text: float, tmp_path: Path) -> None:
    request = asked(tmp_path, "lora", gradient_checkpointing=True)
    learnt = lora(model, text_factor=text, dropout=0.3)
    lesson = lesson_of(model, learnt, captions=("a cat", "a dog"))
    with made_ready(model, request.model_copy(update={"gradient_checkpointing": False})):
        plain = gradients(learnt, lesson.loss(0))
    with made_ready(model, request):
        assert model.unet.is_gradient_checkpointing
        checkpointed = gradients(learnt, lesson.loss(0))
    assert not model.unet.is_gradient_checkpointing
    assert plain.keys() == checkpointed.keys()
    assert all(torch.equal(plain[name], checkpointed[name]) for name in plain)
    learnt.detach()


def test_a_step_is_the_same_whenever_it_is_asked_for(model: LoadedModel) -> None:
    learnt = lora(model)
    lesson = lesson_of(model, learnt, pictures=3, captions=("a", "b", "c"), noise_offset=0.1)
    losses = [lesson.loss(step).item() for step in (0, 5, 2)]
    torch.manual_seed(5)
    assert [lesson.loss(step).item() for step in (0, 5, 2)] == losses
    assert len(set(losses)) == 3
    learnt.detach()


def test_noise_offset_shifts_whole_channels(model: LoadedModel) -> None:
    learnt = lora(model)
    plain, offset = (first_batch(lesson_of(model, learnt, noise_offset=by)).noise for by in (0.0, 0.5))
    shift = offset - plain
    torch.testing.assert_close(shift, shift[..., :1, :1].expand_as(shift))
    assert 0.05 < shift[..., 0, 0].std().item() < 1.5
    learnt.detach()


def ordinary_ones(*captions: str, seed: int = 9, drop: float = 0.0) -> Pictures:
    cached = [(one_latent(seed + number),) for number in range(len(captions))]
    deal = Deal([0] * len(captions), [1] * len(captions), 1, 7)
    return Pictures(cached, captions, deal, CaptionOptions(drop=drop))


def test_a_taught_prior_is_zero_while_nothing_is_learnt(model: LoadedModel) -> None:
    learnt = WeightsTarget(model, WeightsSettings(keep_first=True))
    plain = lesson_of(model, learnt).loss(0).item()
    prior = lesson_of(model, learnt, prior=Prior(ordinary_ones("a dog", ""), taught=True), prior_weight=3.0)
    assert prior.loss(0).item() == pytest.approx(plain, rel=1e-4)
    stir(learnt, by=0.01)
    moved = lesson_of(model, learnt).loss(0).item()
    assert prior.loss(0).item() > moved + 1e-3
    learnt.detach()


def test_the_teacher_is_asked_at_latents_of_ordinary_ones_and_now_and_then_without_words(model: LoadedModel) -> None:
    learnt = lora(model)
    lesson = lesson_of(model, learnt, prior=Prior(ordinary_ones("a dog", drop=0.5), taught=True))
    asked: list[Draws] = []
    answer = lesson.answer

    def listening(drawn: Draws, *, frozen: bool = False) -> Tensor:
        if frozen:
            asked.append(drawn)
        return answer(drawn, frozen=frozen)

    lesson.answer = listening  # type: ignore[method-assign]
    for step in range(30):
        lesson.loss(step)
    assert all(torch.equal(drawn.latent[0], one_latent(9).latent) for drawn in asked)
    said = [drawn.captions[0] for drawn in asked]
    assert set(said) == {"a dog", ""}
    assert 6 < said.count("") < 24
    learnt.detach()


def test_a_prior_of_pictures_adds_their_weighted_loss(model: LoadedModel) -> None:
    learnt = lora(model)
    prior = Prior(ordinary_ones("a dog"), taught=False)
    alone = lesson_of(model, learnt).loss(0).item()
    losses = [lesson_of(model, learnt, prior=prior, prior_weight=weight).loss(0).item() for weight in (1.0, 0.5)]
    assert losses[0] - alone == pytest.approx(2 * (losses[1] - alone), rel=1e-4)
    assert losses[0] - alone > 0.1
    learnt.detach()


def test_what_a_mask_leaves_out_teaches_nothing(model: LoadedModel) -> None:
    learnt = lora(model)
    mask = torch.zeros(1, 8, 8)
    mask[:, :, 4:] = 1.0
    form = one_latent(3)._replace(mask=mask)

    def loss(form: Any) -> DiffusionLesson:
        pictures = Pictures([(form,)], ["a cat"], Deal([0], [1], 1, 7))
        return DiffusionLesson(model, learnt, Texts(model, Tokenizer()), pictures, LessonSettings(seed=7))

    drawn = first_batch(loss(form))
    error = (loss(form).answer(drawn) - drawn.noise).pow(2)
    # Normalised: half the picture counts as much as a whole one would.
    assert loss(form).loss(0).item() == pytest.approx(error[..., 4:].mean().item(), rel=1e-5)
    learnt.detach()


def test_a_mirrored_form_is_shown_every_other_time(model: LoadedModel) -> None:
    learnt = lora(model)
    plain = one_latent(3)
    mirrored = plain._replace(latent=plain.latent.flip(-1))
    pictures = Pictures([(plain, mirrored)], ["a cat"], Deal([0], [1], 1, 7))
    lesson = DiffusionLesson(model, learnt, Texts(model, Tokenizer()), pictures, LessonSettings(seed=7))
    shown = [lesson._drawn(pictures, pictures.deal.batch(step), "").latent[0] for step in range(200)]
    count = sum(torch.equal(latent, mirrored.latent) for latent in shown)
    assert 70 < count < 130
    assert all(torch.equal(latent, mirrored.latent) or torch.equal(latent, plain.latent) for latent in shown)
    learnt.detach()


def test_captions_are_read_literally(model: LoadedModel) -> None:
    texts = Texts(model, Tokenizer())
    plain, weighed = texts.frozen(("a (cat:1.5)",)), texts.frozen(("a cat",))
    assert not torch.allclose(plain.context, weighed.context)
    ids = Tokenizer().encode("a (cat:1.5)")
    assert len(ids) == 8
    table = model.text_encoders[0]
    row = torch.tensor([[49406, *ids, 49407, *[49407] * (75 - len(ids))]])
    torch.testing.assert_close(plain.context, table.encode(table.token_embedding(row)).hidden)


def test_long_and_short_captions_share_a_batch(model: LoadedModel) -> None:
    texts = Texts(model, Tokenizer())
    long = ", ".join(f"word number {number}" for number in range(20))
    both = texts.frozen(("a cat", long))
    assert both.context.shape[1] == 154
    torch.testing.assert_close(both.context[0, :77], texts.frozen(("a cat",)).context[0])
    learning = texts.learning(("a cat", long), ())
    torch.testing.assert_close(learning.context, both.context, rtol=1e-4, atol=1e-5)


def test_sdxl_is_told_sizes_and_reads_nothing_as_zeros(tmp_path: Path) -> None:
    model = tiny(tmp_path, "SDXL")
    learnt = EmbeddingTarget(model, EmbeddingSettings("thing", 1), Tokenizer())
    names = model.family.size_numbers
    form = one_latent(1)._replace(numbers={name: float(number) for number, name in enumerate(names)})
    pictures = Pictures([(form,)], ["thing"], Deal([0], [1], 1, 7))
    texts = Texts(model, Tokenizer())
    lesson = DiffusionLesson(model, learnt, texts, pictures, LessonSettings(seed=7))
    drawn = first_batch(lesson)
    assert drawn.numbers is not None
    assert drawn.numbers.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    assert torch.equal(texts.frozen(("",)).context, torch.zeros(1, 77, 96))
    seen: list[Any] = []
    handle = model.unet.register_forward_pre_hook(lambda _, __, given: seen.append(given), with_kwargs=True)
    lesson.answer(drawn)
    handle.remove()
    assert seen[0]["added_cond_kwargs"]["time_ids"].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_validation_asks_the_same_at_every_step(model: LoadedModel) -> None:
    learnt = lora(model, dropout=0.5)
    lesson = lesson_of(model, learnt)
    held_out = Pictures([(one_latent(20),), (one_latent(21),)], ["a", "b"], Deal([0, 0], [1, 1], 1, 7))
    first = lesson.validation(held_out)
    lesson.loss(1)
    assert lesson.validation(held_out) == first
    stir(learnt, by=0.3)
    assert lesson.validation(held_out) != first
    learnt.detach()
