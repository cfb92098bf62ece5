"""Repainting holds what is outside the mask at each step, in the two ways that A1111 does it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.recipes import Answered, Call, Evaluate, Repaint
from app.samplers import Denoised

LATENT = torch.full((1, 4, 2, 2), 5.0)
MASK = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])
CALL = Call(0, 2)
ASKED = Evaluate(torch.full((1, 4, 2, 2), 10.0), 3.0, ())


def shown(guide: Repaint) -> Evaluate:
    """What the model sees."""
    with pytest.raises(StopIteration) as end:
        next(guide.before(ASKED, CALL))
    question: Evaluate = end.value.value
    return question


def told(guide: Repaint, question: Evaluate, x0: Tensor, uncond: Tensor) -> Denoised:
    """What the sampler is told of a model's answer."""
    return guide.after(Answered(question, x0, Denoised(x0, uncond), x0), CALL)


def test_the_answer_is_held() -> None:
    guide = Repaint(LATENT, MASK, before=False)
    assert shown(guide) is ASKED
    answer = told(guide, ASKED, torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2))
    assert torch.equal(answer.x0, (LATENT * (1 - MASK)).expand(1, 4, 2, 2))
    assert answer.uncond_x0 is not None
    assert (answer.uncond_x0 == 1).all()


def test_before_the_model_sees_the_clean_latent_and_the_sampler_the_models_noise() -> None:
    guide = Repaint(LATENT, MASK, before=True)
    question = shown(guide)
    growth = 10**0.5
    assert torch.allclose(question.x, 10 * MASK + LATENT * growth * (1 - MASK))
    noise = torch.randn(1, 4, 2, 2)
    seen = question.x - 3 * noise
    answer = told(guide, question, seen, seen)
    assert torch.allclose((ASKED.x - answer.x0) / 3, noise, atol=1e-5)
    assert answer.uncond_x0 is not None
    assert torch.equal(answer.x0, answer.uncond_x0)


def test_another_blend_joins_what_is_kept_and_what_is_new() -> None:
    def larger(kept: Tensor, new: Tensor, mask: Tensor, sigma: float) -> Tensor:
        return torch.maximum(kept, new) + sigma

    guide = Repaint(LATENT, MASK, before=False, blend=larger)
    answer = told(guide, ASKED, torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2))
    assert torch.equal(answer.x0, LATENT + 3)
