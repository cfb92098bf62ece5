"""Every door that takes a picture reads what is right and refuses the rest in words, without unpacking bombs."""

from __future__ import annotations

import base64
import io
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from app.files import open_picture
from app.recipes.source import prepare
from app.schema.errors import InvalidImage
from app.schema.picture_fields import InpaintArea, PictureFields
from tests.files.odd_pictures import READ, REFUSED, text_bomb

WHOLE = ("half a PNG", "half a JPEG")
"""What only decoding finds out: kept as it is, and refused when it is worked on."""


@pytest.fixture
def door(client: TestClient) -> Iterator[TestClient]:
    tracemalloc.start()
    yield client
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000, "something was unpacked"


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("name", READ)
def test_opened_upright_in_eight_bits_with_its_colours(name: str) -> None:
    data, size = READ[name]
    picture = open_picture(data)
    assert picture.size == size
    assert picture.mode in ("RGB", "RGBA")
    colours = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    if "grey" in name or name == "one bit":
        assert np.ptp(colours, axis=1).max() == 0
    else:
        assert abs(colours[0] - (255, 0, 0)).max() < 8
    if name == "16 bits, grey":
        assert (colours.min(), colours.max()) == (0, 255)
    if name == "turned by EXIF":
        assert abs(colours[-1] - (0, 0, 255)).max() < 8
    if name == "palette, transparent":
        assert [picture.getpixel((x, 0))[3] for x in (0, 15)] == [0, 255]  # type: ignore[index]


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused(name: str) -> None:
    with pytest.raises(InvalidImage):
        open_picture(REFUSED[name])


@pytest.mark.parametrize("name", READ)
def test_extras_makes_each_of_them_larger(client: TestClient, name: str) -> None:
    data, (width, height) = READ[name]
    fields = {"image": base64_of(data), "upscaler_1": "Nearest", "upscaling_resize": 1 if width > 1000 else 8}
    answer = client.post("/sdapi/v1/extra-single-image", json=fields)
    assert answer.status_code == 200, answer.text
    made = Image.open(io.BytesIO(base64.b64decode(answer.json()["image"])))
    assert made.size == ((width, height) if width > 1000 else (width * 8, height * 8))


@pytest.mark.parametrize("name", READ)
def test_img2img_and_the_store_keep_each_of_them(client: TestClient, name: str) -> None:
    data, _ = READ[name]
    digest = client.post("/api/pictures", content=data).json()["hash"]
    assert client.get(f"/api/pictures/{digest}").content == data
    fields = {"init_images": [base64_of(data)], "mask": base64_of(data), "steps": 1, "width": 64, "height": 64}
    answer = client.post("/sdapi/v1/img2img", json=fields)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("area", ["Whole picture", "Only masked"])
@pytest.mark.parametrize("name", READ)
def test_each_of_them_can_be_redrawn_and_be_a_mask(name: str, area: InpaintArea) -> None:
    picture = open_picture(READ[name][0])
    for mask in (None, picture, open_picture(READ["plain"][0])):
        prepared = prepare(PictureFields(inpaint_area=area, masked_content="fill"), picture, mask, (64, 64))
        assert prepared.pixels.size == (64, 64)
        done = prepared.finishing(torch.zeros(3, 64, 64, dtype=torch.uint8))
        region = prepared.finishing.region
        assert tuple(done.shape[:0:-1]) == (picture.size if region is not None else (64, 64))


@pytest.mark.parametrize("name", REFUSED)
def test_every_door_refuses_the_others_in_words(door: TestClient, name: str) -> None:
    data = REFUSED[name]
    doors = [door.post("/sdapi/v1/extra-single-image", json={"image": base64_of(data)})]
    batch = {"imageList": [{"data": base64_of(data), "name": "a.png"}]}
    doors.append(door.post("/sdapi/v1/extra-batch-images", json=batch))
    if name not in WHOLE:
        doors.append(door.post("/api/pictures", content=data))
        fields = {"init_images": [base64_of(data)], "steps": 1, "width": 64, "height": 64}
        doors.append(door.post("/sdapi/v1/img2img", json=fields))
    if name not in WHOLE and data:  # an empty text is no mask at all, as A1111's clients send it
        plain = {"init_images": [base64_of(READ["plain"][0])], "steps": 1, "width": 64, "height": 64}
        doors.append(door.post("/sdapi/v1/img2img", json={**plain, "mask": base64_of(data)}))
    for answer in doors:
        assert answer.status_code == 422, (str(answer.url), answer.text)
        body = answer.json()
        assert (body.get("code") or body["error"]["code"]) == "invalid_image"


@pytest.mark.parametrize("name", [*READ, *REFUSED])
def test_png_info_answers_or_refuses(door: TestClient, name: str) -> None:
    data = READ[name][0] if name in READ else REFUSED[name]
    answer = door.post("/sdapi/v1/png-info", json={"image": base64_of(data)})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert answer.json()["info"] == ""


def test_a_text_that_unpacks_to_200_megabytes_is_not_unpacked(door: TestClient) -> None:
    data = base64_of(text_bomb())
    answer = door.post("/sdapi/v1/png-info", json={"image": data})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_image")
    made = door.post("/sdapi/v1/extra-single-image", json={"image": data})
    assert made.status_code in (200, 422)
