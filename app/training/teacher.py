"""The teacher: latents that the untouched model draws of ordinary ones, at which it is asked what is to be kept.

Drawn by the engine's own recipe with guidance, so that a model in training is held where drawing will take it, and no
pictures of ordinary ones are needed. Ruiz et al. 2022 (3.3) draw class pictures too; here the target is not their noise
but the untouched model's own answer (Li and Hoiem 2016, learning without forgetting), which asks nothing of a model
that has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from app.models import LoadedModel
from app.schema.request import GenerationRequest
from app.schema.training import TrainingRequest
from app.training.data import Bucket, CaptionOptions, Deal
from app.training.drawing import draw_latent
from app.training.latents import Cached, LatentStore
from app.training.lesson import Pictures
from app.training.targets import Target

MOST_LESSONS = 24
"""Latents that are drawn at most; each is asked about anew with other noise at other timesteps."""
NOTHING_SAID = 0.25
"""Share of the questions without a caption: guidance measures from what the model says to those."""
STEPS, CFG_SCALE, SAMPLER = 12, 4.0, "DPM++ 2M"


def lessons_of(request: TrainingRequest) -> int:
    """How many latents are drawn; 0 where the untouched model is not asked."""
    return min(request.class_pictures, MOST_LESSONS) if request.prior_used == "prediction" else 0


def drawn_by_teacher(
    captions: Sequence[str],
    request: TrainingRequest,
    model: LoadedModel,
    target: Target,
    bucket: Bucket,
    store: LatentStore,
    *,
    autocast: torch.dtype | None = None,
    report: Callable[[], None] = lambda: None,
) -> Pictures:
    """Latents of nothing said and of the captions in turn, of one size. captions: of ordinary ones.

    report: called after each. The same request gives the same latents. Raises as the engine does.
    """
    named = [caption for caption in captions if caption] or [""]
    # Every other one shows anything at all: what has nothing to do with the subject is to stay as it is, too.
    asked = [named[number // 2 % len(named)] if number % 2 else "" for number in range(lessons_of(request))]
    sides = {"height": float(bucket.height), "width": float(bucket.width)}
    numbers = {**sides, "crop_top": 0.0, "crop_left": 0.0, **{f"target_{name}": side for name, side in sides.items()}}
    cached = []
    for number, caption in enumerate(asked):
        wanted = GenerationRequest(
            prompt=caption,
            emphasis="None",
            ignore_network_tags=True,
            width=bucket.width,
            height=bucket.height,
            steps=STEPS,
            cfg_scale=CFG_SCALE,
            sampler=SAMPLER,
            seed=(request.seed + number) % 2**31,
            variation_seed=0,
            clip_skip=request.clip_skip,
        )

        def draw(wanted: GenerationRequest = wanted) -> Tensor:
            with target.untouched():
                return draw_latent(model, wanted, autocast)

        cached.append((Cached(store.kept(f"{model.file}/{wanted}/{autocast}".encode(), draw), None, numbers),))
        report()
    deal = Deal([bucket] * len(asked), [1] * len(asked), request.batch_size, request.seed)
    return Pictures(cached, asked, deal, CaptionOptions(drop=NOTHING_SAID))
