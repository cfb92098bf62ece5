"""Face restoration as a stage: the decoded picture's faces are restored before its colours and its surroundings are put
back, in A1111's order. Needs torch."""

from __future__ import annotations

from app.extension_api import Decode, Draw, Drawing, ImagePlan, Pass, RestoreFaces, Skip, Tools

from .settings import values_of

BEFORE = "before-face-restoration"
"""How A1111 ends the name of a picture that is saved before."""


def with_restored_faces(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """What the other stages come to, with its faces restored; skipped meanwhile, it stays as it was."""
    values = values_of(image.resolved.request)
    drawn = yield from inner(image, tools, passing)
    pixels = drawn.pixels
    if pixels is None:
        pixels = yield Decode(drawn.latent)
    try:
        restored = yield RestoreFaces(pixels, image.resolved.face_restorers[values.model], values.visibility)
    except Skip:
        restored, drawn = pixels, drawn._replace(partial=True)
    finish = drawn.finishing if drawn.pixels is None else None
    if values.save_before:
        drawn = drawn._replace(beside=(*drawn.beside, (BEFORE, finish(pixels) if finish else pixels)))
    return drawn._replace(pixels=finish(restored) if finish else restored)
