"""Encoding units with small random encoders: chunks, padding, learned words, CLIP skip, two encoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from app.conditioning import Conditioning, encode_unit
from app.language import EOS, Reading, Sizes, TextUnit, Timing, Tokenizer, Variant, plan_text
from app.models import SDXL, TextEncoder, TokenVectors
from app.schema.errors import InvalidPrompt
from tests.conditioning.encoders import sd1, sd2, sdxl

TOKENIZER = Tokenizer()
SIZES = Sizes(height=64, width=96, crop_top=8, crop_left=16)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def clip() -> TextEncoder:
    return sd1()


@pytest.fixture(scope="module")
def both() -> tuple[TextEncoder, TextEncoder]:
    return sdxl()


def unit(text: str, steps: int = 4, **reading: Any) -> TextUnit:
    return plan_text(text, Reading(Timing(steps), **reading))[0].unit


def encoded(encoder: TextEncoder, text: str, **options: Any) -> Tensor:
    return encode_unit([encoder], unit(text, **options), TOKENIZER).at(0, 4).context


def by_hand(encoder: TextEncoder, ids: Sequence[int]) -> Tensor:
    """One row of ids through transformers' own forward pass, with the final norm."""
    rows = torch.tensor([[49406, *ids, EOS, *[encoder.facts.pad_token] * (75 - len(ids))]])
    hidden: Tensor = encoder.module(rows, output_hidden_states=True).hidden_states[encoder.facts.hidden_layer]
    return encoder.transformer.final_layer_norm(hidden) if encoder.facts.final_norm else hidden


def test_a_short_prompt_is_one_padded_chunk(clip: TextEncoder) -> None:
    context = encoded(clip, "a photo of a cat")
    assert context.shape == (1, 77, 16)
    assert context.dtype == torch.float32
    assert torch.allclose(context, by_hand(clip, TOKENIZER.encode("a photo of a cat")), atol=1e-5)


def test_open_clip_pads_with_zeros_after_the_first_end() -> None:
    encoder = sd2()
    assert torch.allclose(encoded(encoder, "a cat"), by_hand(encoder, TOKENIZER.encode("a cat")), atol=1e-5)
    with_end = encoded(encoder, "a cat <|endoftext|> dog")
    assert torch.allclose(with_end, by_hand(encoder, TOKENIZER.encode("a cat")), atol=1e-5)


def test_long_prompts_are_encoded_chunk_by_chunk(clip: TextEncoder) -> None:
    context = encoded(clip, "cat BREAK dog")
    parts = [by_hand(clip, TOKENIZER.encode(word)) for word in ("cat", "dog")]
    assert torch.allclose(context, torch.cat(parts, dim=1), atol=1e-5)


def test_many_chunks_come_out_in_order(clip: TextEncoder) -> None:
    context = encoded(clip, " BREAK ".join("abcdefghijkl"))
    assert context.shape == (1, 12 * 77, 16)
    assert torch.allclose(context[:, 11 * 77 :], by_hand(clip, TOKENIZER.encode("l")), atol=1e-5)


def test_all_texts_of_a_unit_are_padded_to_the_longest(clip: TextEncoder) -> None:
    schedule = encode_unit([clip], unit("[a cat:cat BREAK dog:2]"), TOKENIZER)
    first, second = schedule.at(0, 4), schedule.at(3, 4)
    assert first.length == second.length == 154
    assert torch.allclose(first.context[:, 77:], by_hand(clip, []), atol=1e-5)


def test_equal_texts_of_an_alternation_are_one_conditioning(clip: TextEncoder) -> None:
    schedule = encode_unit([clip], unit("[cat|dog]", steps=5), TOKENIZER)
    assert schedule.ends == (1, 2, 3, 4, 5)
    assert schedule.conditionings[0] is schedule.conditionings[2]
    assert not torch.equal(schedule.conditionings[0].context, schedule.conditionings[1].context)


def test_emphasis_modes(clip: TextEncoder) -> None:
    plain = encoded(clip, "a cat")
    weights = torch.ones(77, 1)
    weights[2] = 1.5
    weighed = plain * weights
    assert torch.allclose(encoded(clip, "a (cat:1.5)", emphasis="No norm"), weighed, atol=1e-5)
    original = weighed * (plain.mean() / weighed.mean())
    assert torch.allclose(encoded(clip, "a (cat:1.5)"), original, atol=1e-5)
    assert torch.allclose(encoded(clip, "a (cat:1.5)", emphasis="Ignore"), plain, atol=1e-6)
    literal = by_hand(clip, TOKENIZER.encode("a (cat:1.5)"))
    assert torch.allclose(encoded(clip, "a (cat:1.5)", emphasis="None"), literal, atol=1e-5)


def test_the_original_mean_is_taken_over_all_texts_of_a_unit_chunk_by_chunk(clip: TextEncoder) -> None:
    schedule = encode_unit([clip], unit("[(cat:1.5)|dog|]", steps=4), TOKENIZER)
    plain = torch.cat([by_hand(clip, TOKENIZER.encode(word)) for word in ("cat", "dog", "", "cat")])
    weights = torch.ones(4, 77, 1)
    weights[0, 1] = weights[3, 1] = 1.5
    weighed = plain * weights
    expected = weighed * (plain.mean() / weighed.mean())
    for number, conditioning in enumerate(schedule.conditionings):
        assert torch.allclose(conditioning.context[0], expected[number], atol=1e-5)


def test_clip_skip_stops_earlier_and_still_norms(clip: TextEncoder) -> None:
    ids = torch.tensor([[49406, *TOKENIZER.encode("a cat"), *[EOS] * 74]])
    states = clip.module(ids, output_hidden_states=True).hidden_states
    for skip in (1, 2, 3):
        expected = clip.transformer.final_layer_norm(states[-skip])
        assert torch.allclose(encoded(clip, "a cat", clip_skip=skip), expected, atol=1e-5)


def test_clip_skip_does_nothing_to_sd2() -> None:
    encoder = sd2()
    assert torch.equal(encoded(encoder, "a cat", clip_skip=2), encoded(encoder, "a cat"))


def encoded_sdxl(both: Sequence[TextEncoder], text: str, *, negative: bool = False, **reading: Any) -> Conditioning:
    planned = plan_text(text, Reading(Timing(4), sizes=SIZES, **reading), negative=negative)[0].unit
    return encode_unit(both, planned, TOKENIZER, size_numbers=SDXL.size_numbers).at(0, 4)


def test_two_encoders_stand_side_by_side(both: tuple[TextEncoder, TextEncoder]) -> None:
    conditioning = encoded_sdxl(both, "a cat")
    ids = TOKENIZER.encode("a cat")
    assert conditioning.context.shape == (1, 77, 40)
    assert torch.allclose(conditioning.context, torch.cat([by_hand(one, ids) for one in both], dim=-1), atol=1e-5)


def test_the_pooled_vector_is_the_first_chunks_and_weights_do_not_touch_it(
    both: tuple[TextEncoder, TextEncoder],
) -> None:
    rows = torch.tensor([[49406, *TOKENIZER.encode("a cat"), EOS, *[0] * 73]])
    expected = both[1].module(rows).text_embeds
    for text in ("a cat", "a (cat:1.5)", "a cat BREAK a dog"):
        pooled = encoded_sdxl(both, text).pooled
        assert pooled is not None
        assert torch.allclose(pooled, expected, atol=1e-5)


def test_emphasis_keeps_the_mean_of_each_encoder_apart(both: tuple[TextEncoder, TextEncoder]) -> None:
    plain, weighed = encoded_sdxl(both, "a cat").context, encoded_sdxl(both, "a (cat:1.5)").context
    for part in (slice(0, 16), slice(16, 40)):
        assert weighed[..., part].mean().item() == pytest.approx(plain[..., part].mean().item(), rel=1e-4)


def test_sizes_are_told_in_the_familys_order(both: tuple[TextEncoder, TextEncoder]) -> None:
    extra = encoded_sdxl(both, "a cat").extra
    assert extra is not None
    assert extra.tolist() == [[64, 96, 8, 16, 64, 96]]
    refiner = encode_unit([both[1]], unit("a", sizes=SIZES), TOKENIZER, size_numbers=("height", "aesthetic_score"))
    assert refiner.at(0, 4).extra.tolist() == [[64, 6]]  # type: ignore[union-attr]


def test_sizes_that_are_wanted_must_be_given(both: tuple[TextEncoder, TextEncoder]) -> None:
    with pytest.raises(ValueError, match="wants the sizes"):
        encode_unit(both, unit("a cat"), TOKENIZER, size_numbers=SDXL.size_numbers)


def test_an_empty_negative_prompt_of_sdxl_is_zeros(both: tuple[TextEncoder, TextEncoder]) -> None:
    empty = encoded_sdxl(both, "", negative=True)
    assert empty.pooled is not None
    assert empty.extra is not None
    assert not empty.context.any()
    assert not empty.pooled.any()
    assert empty.extra.any()
    for other in (
        encoded_sdxl(both, ""),
        encoded_sdxl(both, "x", negative=True),
        encoded_sdxl(both, " ", negative=True),
    ):
        assert other.context.any()


def test_an_empty_negative_prompt_of_sd1_is_its_encoding(clip: TextEncoder) -> None:
    empty = TextUnit((Variant(4, ""),), negative=True)
    context = encode_unit([clip], empty, TOKENIZER).at(0, 4).context
    assert torch.allclose(context, by_hand(clip, []), atol=1e-5)


class Words:
    """A vocabulary of given words; each row of vectors is its number, in every encoder's width."""

    def __init__(self, rows: dict[str, int], widths: Sequence[int]) -> None:
        self.words = {tuple(TOKENIZER.encode(name)): (name, count) for name, count in rows.items()}
        self.widths = widths

    def tokens(self, ids: Sequence[int]) -> TokenVectors | None:
        for word in sorted(self.words, key=len, reverse=True):
            if tuple(ids[: len(word)]) == word:
                name, count = self.words[word]
                vectors = tuple(torch.arange(1.0, count + 1).view(-1, 1).expand(-1, width) for width in self.widths)
                return TokenVectors(name, len(word), vectors)
        return None


def with_vectors(encoder: TextEncoder, ids: Sequence[int], place: int, rows: int) -> Tensor:
    tokens = torch.tensor([[49406, *ids, EOS, *[encoder.facts.pad_token] * (75 - len(ids))]])
    vectors = encoder.token_embedding(tokens)
    vectors[0, 1 + place : 1 + place + rows] = torch.arange(1.0, rows + 1).view(-1, 1)
    return encoder.encode(vectors, torch.tensor([len(ids) + 1])).hidden


def test_a_learned_words_vectors_stand_where_its_tokens_stood(clip: TextEncoder) -> None:
    context = encode_unit([clip], unit("a BlobWord cat"), TOKENIZER, vocabularies=[Words({"blobword": 3}, [16])])
    a, cat = TOKENIZER.encode("a"), TOKENIZER.encode("cat")
    expected = with_vectors(clip, [*a, 0, 0, 0, *cat], 1, 3)
    assert torch.allclose(context.at(0, 4).context, expected, atol=1e-5)


def test_of_several_vocabularies_the_longest_word_counts(clip: TextEncoder) -> None:
    short, long = Words({"easy": 2}, [16]), Words({"easynegative": 4}, [16])
    for order in ([short, long], [long, short]):
        context = encode_unit([clip], unit("easynegative"), TOKENIZER, vocabularies=order).at(0, 4).context
        assert torch.allclose(context, with_vectors(clip, [0] * 4, 0, 4), atol=1e-5)


def test_each_encoder_gets_its_own_vectors(both: tuple[TextEncoder, TextEncoder]) -> None:
    words = Words({"blob": 2}, [16, 24])
    planned = unit("blob", sizes=SIZES)
    context = encode_unit(both, planned, TOKENIZER, size_numbers=SDXL.size_numbers, vocabularies=[words])
    expected = torch.cat([with_vectors(encoder, [0, 0], 0, 2) for encoder in both], dim=-1)
    assert torch.allclose(context.at(0, 4).context, expected, atol=1e-5)


def test_a_word_of_another_width_stays_text(clip: TextEncoder) -> None:
    context = encode_unit([clip], unit("blob"), TOKENIZER, vocabularies=[Words({"blob": 2}, [99])]).at(0, 4).context
    assert torch.equal(context, encoded(clip, "blob"))


def test_a_word_too_long_for_a_chunk_is_refused(clip: TextEncoder) -> None:
    with pytest.raises(InvalidPrompt, match="embedding blob takes 80 tokens"):
        encode_unit([clip], unit("blob"), TOKENIZER, vocabularies=[Words({"blob": 80}, [16])])


def test_a_unit_is_encoded_the_same_each_time(clip: TextEncoder) -> None:
    text = "[(cat:1.3)|dog] on a mat"
    one, other = (encode_unit([clip], unit(text), TOKENIZER) for _ in range(2))
    for first, second in zip(one.conditionings, other.conditionings, strict=True):
        assert torch.equal(first.context, second.context)


def test_half_precision_weights_give_full_precision_context() -> None:
    encoder = sd1()
    exact = encoded(encoder, "a (cat:1.5)")
    encoder.module.to(torch.bfloat16)
    rough = encoded(encoder, "a (cat:1.5)")
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().mean() < 0.1


def test_encoding_works_while_gradients_are_recorded() -> None:
    with torch.inference_mode(False), torch.enable_grad():
        encoder = sd1()
        encoder.module.requires_grad_(True)
        words = [Words({"blob": 2}, [16])]
        context = encode_unit([encoder], unit("a blob"), TOKENIZER, vocabularies=words).at(0, 4).context
        context.sum().backward()
        assert encoder.token_embedding.weight.grad is not None
