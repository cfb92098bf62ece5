"""U-Net and text encoder learn v from the product's own tokens; words that no caption uses are settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from app.language import BOS, EOS, VOCABULARY_SIZE, Tokenizer, chunked
from app.models import SD1, alphas_cumprod
from app.starter.captions import (
    COLOUR_WORDS,
    FILLERS,
    GROUND_TAGS,
    GROUND_WORDS,
    LOOK_WORDS,
    PLACE_WORDS,
    SUBJECT_WORDS,
    TIME_TAGS,
    TIME_WORDS,
)
from app.starter.diffusion import (
    DiffusionLesson,
    _used_tokens,
    build_text_encoder,
    build_unet,
    settle_unseen_words,
    token_ids,
)
from app.starter.examination import questions
from tests.starter.tiny import shrink

TOKENIZER = Tokenizer()
TABLES: tuple[Any, ...] = (
    COLOUR_WORDS,
    SUBJECT_WORDS,
    GROUND_WORDS,
    GROUND_TAGS,
    TIME_WORDS,
    TIME_TAGS,
    PLACE_WORDS,
    LOOK_WORDS,
)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    shrink(monkeypatch)
    torch.manual_seed(4)
    return build_unet(), build_text_encoder()


@pytest.fixture(scope="module")
def used() -> set[int]:
    return _used_tokens(4000)


def lesson(networks: tuple[Any, Any], lacking: Mapping[int, Tensor] | None = None, **more: Any) -> DiffusionLesson:
    latents = torch.randn(9, 4, 16, 16, generator=torch.Generator().manual_seed(2)).half()
    return DiffusionLesson(*networks, latents, lacking or {}, seed=5, batch=3, **more)


def test_a_caption_is_begin_tokens_and_ends_to_the_77th() -> None:
    words = TOKENIZER.encode("a red house")
    assert len(words) == 3
    assert token_ids("a red house", TOKENIZER) == [BOS, *words, *[EOS] * 73]
    assert token_ids("", TOKENIZER) == [BOS, *[EOS] * 76]


def test_a_long_caption_loses_its_end_and_keeps_the_last_place_for_the_end_token() -> None:
    ids = token_ids("house " * 200, TOKENIZER)
    assert (len(ids), ids[0], ids[75], ids[76]) == (77, BOS, TOKENIZER.encode("house")[0], EOS)


def test_training_reads_a_prompt_as_the_product_does() -> None:
    for question in questions():
        (chunk,) = chunked(question.prompt, TOKENIZER).chunks
        assert token_ids(question.prompt, TOKENIZER) == [BOS, *chunk.tokens, *[EOS] * (76 - len(chunk.tokens))]
        assert set(chunk.weights) == {1.0}


def test_the_loss_of_a_step_follows_from_its_number_and_the_steps_before_this_run(networks: tuple[Any, Any]) -> None:
    first = [lesson(networks).loss(step).item() for step in (0, 4)]
    torch.rand(9)
    assert [lesson(networks).loss(step).item() for step in (0, 4)] == first
    assert first[0] != first[1]
    assert lesson(networks, first_step=4).loss(0).item() == first[1]


def test_a_model_that_knows_v_has_no_loss_and_one_that_says_nothing_that_of_v(networks: tuple[Any, Any]) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Silent:
        def __call__(self, x: Tensor, t: Tensor, context: Tensor, return_dict: bool) -> tuple[Tensor]:
            seen.append((x, t))
            return (torch.zeros_like(x),)

    learning = lesson(networks)
    learning.unet = Silent()
    # x^2 + v^2 = latent^2 + noise^2, both of variance 1: without an answer the loss is about 2 less the mean of x^2.
    losses = torch.stack([learning.loss(step) for step in range(40)])
    assert losses.mean().item() == pytest.approx(2 - torch.cat([x for x, _ in seen]).pow(2).mean().item(), abs=0.05)
    times = torch.cat([t for _, t in seen])
    assert int(times.min()) >= 0
    assert int(times.max()) <= 999
    assert times.float().mean().item() == pytest.approx(500, abs=100)


def test_what_the_model_is_shown_may_lack_what_it_is_to_draw(networks: tuple[Any, Any]) -> None:
    """Whatever is hidden, the answer that has no loss still says the whole picture."""
    alphas = alphas_cumprod(SD1)
    learning = lesson(networks, {number: torch.full((4, 16, 16), 7.0) for number in range(9)})
    learning.latents = learning.latents[:1].repeat(9, 1, 1, 1)  # all alike, so that the answer is known
    shown: list[float] = []

    class Knowing:
        def __call__(self, x: Tensor, t: Tensor, context: Tensor, return_dict: bool) -> tuple[Tensor]:
            a = alphas[t][:, None, None, None]
            shown.extend((x / a.sqrt()).mean((1, 2, 3))[t < 400].tolist())
            return ((a.sqrt() * x - learning.latents[0].float()) / (1 - a).sqrt(),)

    learning.unet = Knowing()
    assert max(learning.loss(step).item() for step in range(60)) < 1e-6
    lacking = sum(mean > 6 for mean in shown) / len(shown)
    assert 0.1 < lacking < 0.5  # of the samples above timestep 200, half


def test_the_control_gets_the_captions_of_other_pictures(networks: tuple[Any, Any]) -> None:
    texts: list[Tensor] = []

    class Reader:
        """Notes the ids and stops there."""

        def __call__(self, ids: Tensor) -> Any:
            texts.append(ids)
            raise InterruptedError

    for shuffled in (False, True):
        learning = lesson(networks, shuffled=shuffled)
        learning.text_encoder = Reader()
        for step in range(3):
            with pytest.raises(InterruptedError):
                learning.loss(step)
    assert all(ids.shape == (3, 77) for ids in texts)
    assert not torch.equal(torch.cat(texts[:3]), torch.cat(texts[3:]))


def test_every_weight_of_both_networks_learns(networks: tuple[Any, Any]) -> None:
    learning = lesson(networks)
    names = set(learning.parameters())
    assert len(names) == sum(len(list(network.parameters())) for network in networks)
    learning.loss(0).backward()
    still = [
        name
        for name, weight in learning.parameters().items()
        if weight.grad is None or not weight.grad.isfinite().all()
    ]
    assert still == []


def test_every_word_that_a_caption_may_use_counts_as_used(used: set[int]) -> None:
    texts = [*FILLERS, *(text for table in TABLES for words in table.values() for text in words)]
    assert {text for text in texts if not set(TOKENIZER.encode(text)) <= used} == set()
    assert {BOS, EOS} <= used
    assert len(used) < 200


def test_settling_leaves_used_words_alone_and_draws_the_others_to_their_mean(
    networks: tuple[Any, Any], used: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.starter.diffusion._used_tokens", lambda: used)
    table = networks[1].get_input_embeddings().weight
    with torch.no_grad():
        table[sorted(used)] += 3.0
    before = table.detach().clone()
    assert settle_unseen_words(networks[1], seed=5) == len(used)
    rows = before[sorted(used)]
    unseen = [number for number in range(VOCABULARY_SIZE) if number not in used]
    assert torch.equal(table[sorted(used)], rows)
    torch.testing.assert_close(table[unseen].mean(0), rows.mean(0), rtol=0, atol=1e-3)
    torch.testing.assert_close(table[unseen].std(0), 0.1 * rows.std(0), rtol=0.05, atol=0)
