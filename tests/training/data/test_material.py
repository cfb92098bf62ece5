"""What a request's folders come to: captions with the word, those of ordinary ones, held-out pictures, sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from app.training.data import (
    Placed,
    Sample,
    caption_of,
    class_caption_of,
    class_captions,
    place,
    read_material,
)
from app.training.data.buckets import Bucket
from app.training.data.material import name_of
from app.training.latents import encode_pictures, read_pixels
from tests.training.making import asked, draw_pictures, tiny

SAMPLE = Sample(Path("0.png"), 64, 64, "on grass")


def test_the_word_and_its_kind_stand_before_a_caption_without_it() -> None:
    request = asked(Path(), "lora", trigger="sks", class_words="dog")
    assert caption_of(SAMPLE, request, templated=False) == "sks dog, on grass"
    named = Sample(Path("0.png"), 64, 64, "a photo of SKS, on grass")
    assert caption_of(named, request, templated=False) == "a photo of SKS, on grass"
    assert caption_of(Sample(Path("0.png"), 64, 64, ""), request, templated=False) == "sks dog"
    assert caption_of(SAMPLE, request, templated=True) == "on grass"
    within = Sample(Path("0.png"), 64, 64, "sksy")
    assert caption_of(within, request, templated=False) == "sks dog, sksy"


def test_a_cameras_number_is_no_caption() -> None:
    request = asked(Path(), "lora", trigger="sks", class_words="dog")
    for name in ("IMG 2034", "3f8a9c", "dog2"):
        assert caption_of(Sample(Path("0.png"), 64, 64, name, written=False), request, templated=False) == "sks dog"
        assert caption_of(Sample(Path("0.png"), 64, 64, name), request, templated=False) == f"sks dog, {name}"
    named = Sample(Path("0.png"), 64, 64, "a red house", written=False)
    assert caption_of(named, request, templated=False) == "sks dog, a red house"
    assert caption_of(Sample(Path("0.png"), 64, 64, "IMG 2034", written=False), request, templated=True) == "IMG 2034"


def test_a_class_picture_without_a_caption_shows_its_kind() -> None:
    request = asked(Path(), "lora", trigger="sks", class_words="dog")
    unwritten, written = (Sample(Path("0.png"), 64, 64, "f8a9c", written=known) for known in (False, True))
    assert (class_caption_of(unwritten, request), class_caption_of(written, request)) == ("dog", "f8a9c")
    assert class_caption_of(unwritten, asked(Path(), "lora", class_words="")) == "f8a9c"


def test_a_templates_name_is_what_calls_the_network() -> None:
    named = {
        method: name_of(asked(Path(), method, name="ink", trigger="sks")) for method in ("lora", "textual_inversion")
    }
    assert named == {"lora": "sks", "textual_inversion": "ink"}
    assert name_of(asked(Path(), "hypernetwork", name="ink", trigger="")) == "ink"


def test_an_embedding_is_called_by_its_name() -> None:
    request = asked(Path(), "textual_inversion", name="my-cat", trigger="sks", class_words="")
    assert caption_of(SAMPLE, request, templated=False) == "my-cat, on grass"


def test_ordinary_ones_have_the_captions_without_the_word_and_none() -> None:
    request = asked(Path(), "lora", trigger="sks", class_words="dog")
    samples = (SAMPLE, Sample(Path("1.png"), 64, 64, "an old sks dog"), SAMPLE)
    assert class_captions(samples, request) == ("", "dog", "dog, on grass", "an old dog")
    nameless = asked(Path(), "lora", trigger="", class_words="")
    assert class_captions(samples, nameless) == ("",)


def test_held_out_pictures_are_always_the_same(tmp_path: Path) -> None:
    data = draw_pictures(tmp_path, 6)
    request = asked(data, "lora", validation_share=0.34)
    first, again = read_material(request), read_material(request)
    assert (len(first.pictures), len(first.held_out)) == (4, 2)
    assert first == again
    assert first.fingerprint == again.fingerprint
    assert {one.sample.path for one in first.pictures}.isdisjoint(one.sample.path for one in first.held_out)
    (data / "0.txt").write_text("another")
    assert read_material(request).fingerprint != first.fingerprint


def test_a_mirrored_picture_is_mirrored_before_it_is_encoded(tmp_path: Path) -> None:
    picture = Image.new("RGB", (100, 64), "white")
    ImageDraw.Draw(picture).rectangle((0, 0, 30, 64), fill="red")
    picture.save(tmp_path / "a.png")
    placed = Placed(Sample(tmp_path / "a.png", 100, 64, ""), place(100, 64, (Bucket(64, 64),)))
    assert placed.placing.left == 18
    plain, mirrored = read_pixels(placed), read_pixels(placed, mirrored=True)
    assert torch.equal(mirrored, plain.flip(-1))
    assert plain.min() == -1
    assert plain[1, 0, 0] == -1
    model = tiny(tmp_path)
    ((first, second),) = encode_pictures([placed], model.vae, flip=True)
    assert first.latent.shape == (4, 8, 8)
    torch.testing.assert_close(second.latent, model.vae.encode(mirrored[None])[0])
    assert not torch.allclose(second.latent, first.latent.flip(-1))
    assert first.numbers == {
        "height": 64.0, "width": 100.0, "crop_top": 0.0, "crop_left": 18.0, "target_height": 64.0, "target_width": 64.0,
    }  # fmt: skip


def test_what_is_transparent_lies_on_white_and_masks_follow_the_cut(tmp_path: Path) -> None:
    Image.new("RGBA", (96, 64), (10, 20, 30, 0)).save(tmp_path / "a.png")
    (tmp_path / "masks").mkdir()
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 16:48] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    request = asked(tmp_path, "lora", masked_loss=True, buckets=False)
    (placed,) = read_material(request).pictures
    assert torch.equal(read_pixels(placed), torch.ones(3, 64, 64))
    ((cached,),) = encode_pictures([placed], tiny(tmp_path / "masks").vae)
    assert cached.mask is not None
    # The middle 64 columns are kept: the mask covers their left half.
    assert cached.mask[0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    (unmasked,) = read_material(request.model_copy(update={"masked_loss": False})).pictures
    assert unmasked.sample.mask is None


def test_without_masks_what_is_transparent_does_not_count(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (200, 30, 90, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 32, 64))
    picture.save(tmp_path / "a.png")
    (placed,) = read_material(asked(tmp_path, "lora", masked_loss=True)).pictures
    ((cached,),) = encode_pictures([placed], tiny(tmp_path).vae)
    assert cached.mask is not None
    assert cached.mask[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
