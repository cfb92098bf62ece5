"""Pictures of every kind open as plain RGB or RGBA, upright, or are refused in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app.files import open_picture
from app.schema.errors import InvalidImage


def data(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_turned_photograph_comes_out_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_picture(data(Image.new("RGB", (60, 40)), "JPEG", exif=exif)).size == (40, 60)


def test_sixteen_bits_become_eight() -> None:
    wide = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert np.asarray(open_picture(data(wide)))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("mode", ["P", "L", "1", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    opened = open_picture(data(Image.new("RGB", (8, 8), "white").convert(mode), kind))
    assert (opened.mode, opened.getpixel((3, 3))) == ("RGB", (255, 255, 255))


def test_transparency_is_kept_also_that_of_palettes() -> None:
    palette = Image.new("RGB", (4, 4), "red").convert("P")
    opened = open_picture(data(palette, transparency=palette.getpixel((0, 0))))
    assert (opened.mode, opened.getpixel((0, 0))[3]) == ("RGBA", 0)
    assert open_picture(data(Image.new("LA", (4, 4)))).mode == "RGBA"


def test_a_torn_picture_is_refused() -> None:
    whole = data(Image.effect_noise((64, 64), 50))
    with pytest.raises(InvalidImage) as caught:
        open_picture(whole[: len(whole) // 2], field="init_images")
    assert caught.value.field == "init_images"
