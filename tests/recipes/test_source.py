"""Sources: what a picture and a mask come to before the first step, and what the finished picture gets back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from app.models import SD1
from app.recipes.effects import EncodeImage, ModelFacts
from app.recipes.source import Prepared, Source, encode_source, prepare, scaling
from app.samplers import ModelSigmas
from app.schema.picture_fields import PictureFields

PICTURE = Path(__file__).parents[1] / "golden" / "pictures" / "init.png"
SIZE = (256, 256)


def facts(channels: int = 4) -> ModelFacts:
    sigmas = ModelSigmas.scaled_linear()
    return ModelFacts(sigmas, 1 / (1 + sigmas.sigmas**2), channels, 4, 8, SD1, "cpu")


def picture() -> Image.Image:
    return Image.open(PICTURE).convert("RGB")


def square(size: tuple[int, int] = SIZE, box: tuple[int, int, int, int] = (64, 64, 128, 128)) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def encoded(prepared: Prepared, channels: int = 4, size: tuple[int, int] = SIZE, **fields: Any) -> Source:
    """Runs the generator; the 'VAE' takes the mean of each 8x8 cell, red first and red again last."""
    steps = encode_source(
        PictureFields(**fields), prepared, facts(channels), size, 1.0, lambda: torch.full((1, 4, 32, 32), 7.0)
    )
    try:
        effect = next(steps)
        while True:
            assert isinstance(effect, EncodeImage)
            cells = functional.avg_pool2d(effect.pixels[None], 8)
            effect = steps.send(torch.cat([cells, cells[:, :1]], dim=1))
    except StopIteration as stop:
        return stop.value


def test_a_picture_alone_is_resized_and_encoded_and_nothing_is_put_back() -> None:
    prepared = prepare(PictureFields(), picture().resize((300, 200)), None, SIZE)
    source = encoded(prepared)
    assert source.latent.shape == (1, 4, 32, 32)
    assert source.mask is None
    assert source.image is None
    pixels = torch.zeros(3, 256, 256, dtype=torch.uint8)
    assert prepared.finishing(pixels) is pixels


def test_the_latent_mode_resizes_the_latent_and_not_the_picture() -> None:
    mode = "Just resize (latent upscale)"
    prepared = prepare(PictureFields(resize_mode=mode), picture(), None, (512, 384))
    assert prepared.pixels.size == SIZE
    assert encoded(prepared, size=(512, 384), resize_mode=mode).latent.shape == (1, 4, 48, 64)


def test_a_mask_is_hard_in_the_latent_unless_shades_are_wanted() -> None:
    prepared = prepare(PictureFields(), picture(), square(), SIZE)
    mask = encoded(prepared).mask
    assert mask is not None
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask[0, 0, 12, 12] == 1
    soft = encoded(prepared, soft_mask=True).mask
    assert soft is not None
    assert len(soft.unique()) > 2


@pytest.mark.parametrize(("content", "inside"), [("latent noise", 7.0), ("latent nothing", 0.0)])
def test_masked_content_in_the_latent(content: str, inside: float) -> None:
    plain = encoded(prepare(PictureFields(), picture(), square(), SIZE)).latent
    fields = {"masked_content": content}
    source = encoded(prepare(PictureFields(**fields), picture(), square(), SIZE), **fields)
    assert source.mask is not None
    covered = source.mask.expand_as(source.latent) == 1
    assert (source.latent[covered] == inside).all()
    if content == "latent nothing":
        assert torch.equal(source.latent[..., :6, :], plain[..., :6, :])


def test_only_masked_works_on_the_region_and_puts_the_rest_back_to_the_byte() -> None:
    fields = PictureFields(inpaint_area="Only masked", masked_padding=16)
    prepared = prepare(fields, picture(), square(), SIZE)
    assert prepared.pixels.size == SIZE
    finished = prepared.finishing(torch.zeros(3, 256, 256, dtype=torch.uint8)).permute(1, 2, 0).numpy()
    far = np.ones((256, 256), bool)
    far[40:152, 40:152] = False
    assert np.array_equal(finished[far], np.asarray(picture())[far])
    assert (finished[80:112, 80:112] == 0).all()


def test_a_black_mask_with_only_masked_redraws_everything() -> None:
    prepared = prepare(PictureFields(inpaint_area="Only masked"), picture(), Image.new("L", SIZE), SIZE)
    assert prepared.mask is None
    assert prepared.finishing.kept is None


def test_the_mode_not_masked_turns_the_mask_round() -> None:
    prepared = prepare(PictureFields(mask_mode="Inpaint not masked"), picture(), square(), SIZE)
    assert prepared.mask is not None
    assert prepared.mask.getpixel((0, 0)) == 255
    assert prepared.mask.getpixel((96, 96)) == 0


def test_an_inpainting_model_sees_grey_under_the_rounded_mask() -> None:
    prepared = prepare(PictureFields(mask_blur_x=0, mask_blur_y=0), picture(), square(), SIZE)
    image = encoded(prepared, channels=9).image
    assert image is not None
    assert image.shape == (1, 5, 32, 32)
    assert torch.equal(image[0, 0] == 1, encoded(prepared).mask[0, 0] == 1)
    assert (image[0, 1:, 8:16, 8:16] == 0).all()
    assert torch.equal(image[0, 1:, :8], encoded(prepared).latent[0, :, :8])


def test_an_inpainting_model_without_a_mask_redraws_a_grey_picture() -> None:
    image = encoded(prepare(PictureFields(), picture(), None, SIZE), channels=9).image
    assert image is not None
    assert (image[0, 0] == 1).all()
    assert (image[0, 1:] == 0).all()


def test_an_editing_model_reads_the_picture_without_the_familys_scale() -> None:
    source = encoded(prepare(PictureFields(), picture(), None, SIZE), channels=8)
    assert source.image is not None
    assert torch.allclose(source.image * SD1.scaling_factor, source.latent)


def test_transparent_parts_take_the_background_colour() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    prepared = prepare(PictureFields(background_color="#00ff00"), clear, None, (64, 64))
    assert prepared.pixels.getpixel((5, 5)) == (0, 255, 0)


def test_colour_correction_follows_what_was_encoded() -> None:
    prepared = prepare(PictureFields(color_correction=True), picture(), None, SIZE)
    grey = torch.full((3, 256, 256), 128, dtype=torch.uint8)
    assert prepared.finishing(grey).shape == (3, 256, 256)
    assert prepared.finishing.colours is prepared.pixels


def test_an_upscaler_does_what_lanczos_would_where_the_picture_grows() -> None:
    small = picture().resize((100, 60))
    for fields in ({}, {"resize_mode": "Crop and resize"}, {"resize_mode": "Resize and fill"}):
        settings = PictureFields(**fields)
        wanted = scaling(settings, small, None, SIZE)
        assert wanted is not None
        assert wanted.grows
        by_hand = wanted.pixels.resize((wanted.width, wanted.height), Image.Resampling.LANCZOS)
        with_scaled = prepare(settings, small, None, SIZE, by_hand)
        assert with_scaled.pixels.tobytes() == prepare(settings, small, None, SIZE).pixels.tobytes()
        grey = Image.new("RGB", by_hand.size, (9, 9, 9))
        assert prepare(settings, small, None, SIZE, grey).pixels.getcolors() == [(256 * 256, (9, 9, 9))]


def test_of_only_masked_the_upscaler_gets_the_masked_part() -> None:
    settings = PictureFields(inpaint_area="Only masked", masked_padding=0, mask_blur_x=0, mask_blur_y=0)
    wanted = scaling(settings, picture(), square(), SIZE)
    assert wanted is not None
    assert wanted.pixels.size == (64, 64)
    assert (wanted.width, wanted.height) == SIZE


def test_the_latent_mode_and_a_picture_that_shrinks_need_no_upscaler() -> None:
    latent = PictureFields(resize_mode="Just resize (latent upscale)")
    assert scaling(latent, picture(), None, (512, 512)) is None
    wanted = scaling(PictureFields(), picture(), None, (128, 128))
    assert wanted is not None
    assert not wanted.grows
