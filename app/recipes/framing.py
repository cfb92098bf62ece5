"""Framing: how a picture is brought to another size, and which part of it 'only masked' works on.

Pixels and boxes only (PIL); knows nothing of masks' making or of models.
"""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

JUST_RESIZE, CROP_AND_RESIZE, RESIZE_AND_FILL, LATENT_UPSCALE = range(4)


class Box(NamedTuple):
    """A part of a picture in pixels; right and bottom are the first column and row outside it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.right - self.left, self.bottom - self.top


def inner_size(picture: tuple[int, int], width: int, height: int, mode: int = JUST_RESIZE) -> tuple[int, int]:
    """(width, height) to which a picture of such a size is scaled on its way into the frame, before cutting."""
    if mode == JUST_RESIZE:
        return width, height
    wider = width * picture[1] > picture[0] * height
    if wider == (mode == CROP_AND_RESIZE):
        return width, picture[1] * width // picture[0]
    return picture[0] * height // picture[1], height


def resized(
    picture: Image.Image, width: int, height: int, mode: int = JUST_RESIZE, scaled: Image.Image | None = None
) -> Image.Image:
    """The picture at width x height; it keeps its proportions in the modes that crop and fill.

    mode: JUST_RESIZE stretches; CROP_AND_RESIZE covers the frame and cuts the middle out; RESIZE_AND_FILL fits into
    it and stretches its edges into the bars. scaled: the picture at its inner size, where something else than Lanczos
    brought it there.
    """
    inner = inner_size(picture.size, width, height, mode)
    scaled = scaled or _scaled(picture, *inner)
    if mode == JUST_RESIZE:
        return scaled
    left, top = width // 2 - inner[0] // 2, height // 2 - inner[1] // 2
    if mode == CROP_AND_RESIZE:
        return scaled.crop((-left, -top, width - left, height - top))
    filled = Image.new(picture.mode, (width, height))
    filled.paste(scaled, (left, top))
    for bar, edge in (
        (Box(0, 0, width, top), (0, 0, inner[0], 0)),
        (Box(0, top + inner[1], width, height), (0, inner[1], inner[0], inner[1])),
        (Box(0, 0, left, height), (0, 0, 0, inner[1])),
        (Box(left + inner[0], 0, width, height), (inner[0], 0, inner[0], inner[1])),
    ):
        # A box without thickness: Pillow mixes the rows beside the edge, and so does A1111.
        if min(bar.size) > 0:
            filled.paste(scaled.resize(bar.size, box=edge), bar[:2])
    return filled


def _scaled(picture: Image.Image, width: int, height: int) -> Image.Image:
    return picture.resize((max(width, 1), max(height, 1)), Image.Resampling.LANCZOS)


def masked_region(mask: Image.Image, padding: int) -> Box | None:
    """The smallest box around all that is not black, with padding pixels on each side; None for a black mask."""
    found = mask.getbbox()
    if found is None:
        return None
    left, top, right, bottom = found
    return Box(
        max(left - padding, 0),
        max(top - padding, 0),
        min(right + padding, mask.width),
        min(bottom + padding, mask.height),
    )


def widened(region: Box, processing: tuple[int, int], picture: tuple[int, int]) -> Box:
    """The region grown along one axis to the proportions of `processing`, and pushed back where it leaves the picture.

    processing, picture: (width, height). Never larger than the picture, so the proportions may not be reached.
    """
    width, height = region.size
    if width * processing[1] > height * processing[0]:
        top, bottom = _grown(region.top, region.bottom, int(width * processing[1] / processing[0]), picture[1])
        return Box(region.left, top, region.right, bottom)
    left, right = _grown(region.left, region.right, int(height * processing[0] / processing[1]), picture[0])
    return Box(left, region.top, right, region.bottom)


def _grown(first: int, last: int, wanted: int, limit: int) -> tuple[int, int]:
    more = wanted - (last - first)
    first -= more // 2
    last += more - more // 2
    if last > limit:
        first, last = first - (last - limit), limit
    if first < 0:
        first, last = 0, last - first
    return first, min(last, limit)
