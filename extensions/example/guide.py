"""A guide: the latent's strongest values are softly held back at each call, against burnt colours. Needs torch."""

from __future__ import annotations

from app.extension_api import Answered, Call, Denoised, Guiding, ImagePlan, PlainGuide, Scene, Tools


class Soft(PlainGuide):
    """limit: values beyond it are brought towards it; small ones hardly change."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def after(self, answered: Answered, call: Call) -> Denoised:
        """What the sampler is told: limit * tanh(x / limit)."""
        x0 = answered.denoised.x0
        return answered.denoised._replace(x0=(x0 / self._limit).tanh() * self._limit)


def guides(image: ImagePlan, tools: Tools, scene: Scene) -> Guiding:
    """Only asked for requests that name this extension; one that needs a picture encoded would yield for it."""
    yield from ()
    limit = float(image.resolved.request.extensions["example"].get("limit", 0))  # type: ignore[arg-type]
    return [Soft(limit)] if limit else []
