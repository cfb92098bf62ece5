"""Sizes: how large Extras makes a picture, by A1111's rules, and what it writes of that into the file."""

from __future__ import annotations

from PIL import Image

from app.schema.errors import InvalidField
from app.schema.extras import ExtrasRequest

MULTIPLE = 8
MOST_PIXELS = 16384 * 16384
Size = tuple[int, int]
PostprocessingFacts = tuple[tuple[str, str], ...]


def enlarged_size(size: Size, request: ExtrasRequest) -> Size:
    """(width, height) that the upscalers bring a picture to. Raises InvalidField beyond MOST_PIXELS.

    Whole multiples of 8, as in A1111. Where its picture would then fall short of the size it is to be cut to, and keep
    a black border, ours covers that size instead.
    """
    width, height = size
    factor = _factor(size, request)
    made = _floored(width, factor), _floored(height, factor)
    if request.resize == "to" and request.crop and (made[0] < request.width or made[1] < request.height):
        made = max(round(width * factor), request.width), max(round(height * factor), request.height)
    if made[0] * made[1] > MOST_PIXELS:
        raise InvalidField(
            f"The result would have {made[0]} x {made[1]} pixels; the most is {MOST_PIXELS:,}.",
            field="factor" if request.resize == "by" else "width",
            hint="Choose a smaller size, or set Max side length.",
        )
    return made


def cut_to_size(picture: Image.Image, request: ExtrasRequest) -> Image.Image:
    """The middle of a picture that covers the wanted size, where it is to be cut."""
    if request.resize != "to" or not request.crop:
        return picture
    # A1111's halves, each rounded down by itself.
    left, top = picture.width // 2 - request.width // 2, picture.height // 2 - request.height // 2
    return picture.crop((left, top, left + request.width, top + request.height))


def facts_of(size: Size, request: ExtrasRequest) -> PostprocessingFacts:
    """What A1111 writes of an enlargement and of restored faces, in its order."""
    share = round(request.gfpgan_visibility, 3)
    return (*_enlarging_facts(size, request), *((("GFPGAN visibility", str(share)),) if share else ()))


def _enlarging_facts(size: Size, request: ExtrasRequest) -> PostprocessingFacts:
    if not request.enlarges:
        return ()
    facts = []
    if request.resize == "to":
        wanted = f"{request.width}x{request.height}"
        facts.append(("Postprocess upscale to", wanted))
        if request.crop:
            facts.append(("Postprocess crop to", wanted))
    else:
        facts.append(("Postprocess upscale by", str(float(request.factor))))
        if _limited(size, request):
            facts.append(("Max side length", str(request.most_side)))
    facts.append(("Postprocess upscaler", request.upscaler_1))
    if request.second:
        facts.append(("Postprocess upscaler 2", request.second))
    return tuple(facts)


def _factor(size: Size, request: ExtrasRequest) -> float:
    width, height = size
    if request.resize == "to":
        return max(request.width / width, request.height / height)
    return request.most_side / max(size) if _limited(size, request) else request.factor


def _limited(size: Size, request: ExtrasRequest) -> bool:
    return request.most_side > 0 and max(size) * request.factor > request.most_side


def _floored(side: int, factor: float) -> int:
    exact = int(side * factor)
    return exact // MULTIPLE * MULTIPLE or max(exact, 1)
