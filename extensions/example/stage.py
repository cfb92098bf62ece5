"""The frame as a stage: the picture is drawn, then its rim is painted. Needs torch."""

from __future__ import annotations

from app.extension_api import Draw, Drawing, ImagePlan, Pass, Tools, decoded


def framed(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """Only runs for requests that name this extension; `inner` is the plain way with the stages inside ours."""
    values = image.resolved.request.extensions["example"]
    drawn = yield from inner(image, tools, passing)
    # What is left out of a stored request has its default: see `Frame`.
    width, grey = int(values.get("width", 0)), int(values.get("grey", 255))
    if not width or passing.latent is not None:
        return drawn
    drawn = yield from decoded(drawn)
    pixels = drawn.pixels.clone()
    high, wide = (min(width, side // 2) for side in pixels.shape[1:])
    pixels[:, :high] = pixels[:, pixels.shape[1] - high :] = grey
    pixels[:, :, :wide] = pixels[:, :, pixels.shape[2] - wide :] = grey
    return drawn._replace(pixels=pixels)
