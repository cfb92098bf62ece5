"""Every draw follows from seed, purpose and step, and from nothing else."""

from __future__ import annotations

import hashlib

import torch

from app.training import generator, numpy_generator


def test_the_same_three_give_the_same_draws_whatever_was_drawn_before() -> None:
    first = torch.randn(5, generator=generator(7, "noise", 12))
    torch.manual_seed(99)
    generator(7, "noise", 11)
    torch.randn(3)
    assert torch.equal(first, torch.randn(5, generator=generator(7, "noise", 12)))
    assert (numpy_generator(7, "noise", 12).random(5) == numpy_generator(7, "noise", 12).random(5)).all()


def test_another_seed_purpose_or_step_gives_other_draws() -> None:
    keys = [(7, "noise", 12), (8, "noise", 12), (7, "crop", 12), (7, "noise", 13), (7, "noise", 1), (71, "noise", 2)]
    assert len({generator(*key).initial_seed() for key in keys}) == len(keys)
    assert len({float(numpy_generator(*key).random()) for key in keys}) == len(keys)


def test_the_seed_is_the_first_63_bits_of_a_hash_so_that_it_never_changes() -> None:
    digest = hashlib.sha256(b"7/noise/12").digest()
    assert generator(7, "noise", 12).initial_seed() == int.from_bytes(digest[:8], "little") // 2


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(4, generator=generator(1, "noise"))
    assert torch.equal(before, torch.get_rng_state())
