"""What a model call reads: schedules over calls, and contexts of different lengths side by side."""

from __future__ import annotations

import pytest
import torch

from app.conditioning import Conditioning, ConditioningSchedule, aligned, joined


def named(number: float, chunks: int = 1) -> Conditioning:
    return Conditioning(torch.full((1, 77 * chunks, 4), number))


def read(schedule: ConditioningSchedule, calls: int, planned: int) -> list[float]:
    return [schedule.at(call, planned).context[0, 0, 0].item() for call in range(calls)]


def test_the_first_text_is_read_one_call_longer_than_its_number() -> None:
    schedule = ConditioningSchedule((5, 20), (named(1), named(2)))
    assert read(schedule, 20, 20) == [1] * 6 + [2] * 14


def test_an_alternation_begins_with_its_first_text_twice() -> None:
    schedule = ConditioningSchedule((1, 2, 3, 4, 5, 6), tuple(named(number) for number in (1, 2, 1, 2, 1, 2)))
    assert read(schedule, 6, 6) == [1, 1, 2, 1, 2, 1]


def test_a_sampler_that_goes_on_beyond_the_plan_gets_the_first_text_again() -> None:
    schedule = ConditioningSchedule((2, 4), (named(1), named(2)))
    assert read(schedule, 8, 4) == [1, 1, 1, 2, 2, 1, 1, 1]


def test_a_plan_longer_than_the_texts_ends_with_the_last_one() -> None:
    schedule = ConditioningSchedule((2, 4), (named(1), named(2)))
    assert read(schedule, 8, 8) == [1, 1, 1, 2, 2, 2, 2, 2]


def test_shorter_parts_of_an_and_repeat_their_last_vector() -> None:
    short = Conditioning(torch.arange(77.0).view(1, 77, 1))
    one, other = aligned([short, named(9, chunks=2)])
    assert one.context[0, :, 0].tolist() == [*range(77), *[76.0] * 77]
    assert other.context.shape == (1, 154, 4)


def test_parts_of_one_length_are_left_alone() -> None:
    parts = (named(1), named(2))
    assert aligned(parts) == parts


def test_rows_of_different_lengths_are_repeated_to_their_common_multiple() -> None:
    call = joined([named(1, chunks=2), named(2, chunks=3), named(3, chunks=1)])
    assert call.context.shape == (3, 77 * 6, 4)
    assert call.context[:, 0, 0].tolist() == [1, 2, 3]
    assert (call.pooled, call.extra) == (None, None)


def test_attention_does_not_notice_the_repetition() -> None:
    torch.manual_seed(0)
    conditioning = Conditioning(torch.randn(1, 77, 8))
    query, key, value = torch.randn(1, 5, 8), torch.randn(8, 8), torch.randn(8, 8)

    def attention(context: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, context @ key, context @ value)

    once, thrice = attention(conditioning.context), attention(conditioning.repeated(231).context)
    assert torch.allclose(once, thrice, atol=1e-6)


def test_pooled_vectors_and_size_numbers_are_stacked_too() -> None:
    row = Conditioning(torch.zeros(1, 77, 4), torch.ones(1, 3), torch.ones(1, 6))
    call = joined([row, row])
    assert call.pooled is not None
    assert call.extra is not None
    assert (call.pooled.shape, call.extra.shape) == ((2, 3), (2, 6))


def test_rows_of_different_families_cannot_share_a_call() -> None:
    with pytest.raises(ValueError, match="different families"):
        joined([named(1), Conditioning(torch.zeros(1, 77, 4), torch.ones(1, 3))])
