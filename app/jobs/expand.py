"""Expand: one resolved request becomes the plans of its pictures, each with its own seeds.

Pure arithmetic (a1111-facts 3.3); which plans share a model call is the engine's business.
"""

from __future__ import annotations

from collections.abc import Collection

from app.schema.request import LARGEST_SEED, ImagePlan, ResolvedRequest


def expand(job: str, owner: str, resolved: ResolvedRequest, done: Collection[int] = ()) -> tuple[ImagePlan, ...]:
    """The plans of a job's pictures in order, without those in `done`.

    Picture i has seed + i; with a variation strength above 0 all keep the seed and the variation seeds rise instead.
    Where an extension chose the pictures, each is as it says.
    """
    request = resolved.request
    if resolved.parts:
        return tuple(
            ImagePlan(
                job, owner, image, part.batch, part.seed, part.variation_seed, resolved.of_image(image), part.source
            )
            for image, part in enumerate(resolved.parts)
            if image not in done
        )
    return tuple(
        ImagePlan(
            job=job,
            owner=owner,
            image=image,
            batch=image // request.batch_size,
            seed=_nth(request.seed, image if request.variation_strength == 0 else 0),
            variation_seed=_nth(request.variation_seed, image),
            resolved=resolved,
        )
        for image in range(request.image_count)
        if image not in done
    )


def _nth(seed: int, distance: int) -> int:
    return (seed + distance) % (LARGEST_SEED + 1)
