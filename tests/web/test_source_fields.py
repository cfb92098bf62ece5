"""What the source panel sends becomes fields of a request, without trust in it; files of a batch become jobs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.files import Blobs
from app.schema.errors import ImageMissing, InvalidField
from app.schema.settings import SettingValues
from app.web.batch_routes import add_batch_route
from app.web.form import INPAINT, START, request_of
from app.web.pasting import Pasting
from app.web.source_fields import read_source
from tests.api.conftest import client_of
from tests.api.serving import Server, build_server
from tests.jobs.fake_engine import FakeEngine

HASH, MASK = "ab" * 32, "cd" * 32


def test_picture_mask_and_size_are_taken_over_the_size_in_whole_eighths() -> None:
    read = read_source(f'{{"pictures": ["{HASH}"], "mask": "{MASK}", "size": [203, 5]}}')
    assert read == {"init_images": [HASH], "mask": MASK, "width": 200, "height": 8}
    assert read_source(f'{{"pictures": ["{HASH}"]}}') == {"init_images": [HASH], "mask": None}


@pytest.mark.parametrize("text", ["", "{}", '{"pictures": []}'])
def test_without_a_picture_there_is_nothing_to_redraw(text: str) -> None:
    with pytest.raises(ImageMissing) as caught:
        read_source(text)
    assert caught.value.field == "init_images"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"pictures": ["../secret"]}',
        '{"pictures": 3}',
        f'{{"pictures": ["{HASH}"], "size": [0, 9]}}',
        f'{{"pictures": ["{HASH}"], "prompt": "x"}}',
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        read_source(text)


def test_what_the_panel_found_wrong_is_said_at_its_place() -> None:
    with pytest.raises(InvalidField, match="Nothing is masked") as caught:
        read_source('{"problem": "Nothing is masked yet.", "field": "mask"}')
    assert caught.value.field == "mask"


def test_one_slider_blurs_the_mask_both_ways() -> None:
    values = [{**START, "styles": [], "mask_blur_x": 9}[name] for name in INPAINT.ids]
    request = request_of(INPAINT, values, SettingValues(), {}, {"init_images": [HASH], "mask": MASK})
    assert (request.mask_blur_x, request.mask_blur_y, request.masked_content) == (9, 9, "original")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = build_server(tmp_path, FakeEngine)
    add_batch_route(server.app, server.jobs, Pasting(server.jobs, server.resolver), server.settings)
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> TestClient:
    return client_of(server)


def kept(server: Server) -> str:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(file, "PNG")
    return Blobs(server.folders.state / "pictures").put(file.getvalue())


def test_a_file_of_a_batch_takes_what_is_wished_of_its_own_recipe(server: Server, client: TestClient) -> None:
    item = {
        "values": {"prompt": "at dawn", "steps": 3, "width": 64, "height": 64, "overrides": []},
        "picture": kept(server),
        "name": "scene 1",
        "text": "a boat\nSteps: 9, Sampler: Euler a, CFG scale: 3, Seed: 5, Size: 512x512",
        "take": ["prompt", "seed", "sampler"],
    }
    answer = client.post("/easel/batch", json=item)
    assert answer.status_code == 202, answer.text
    request = server.jobs.get(answer.json()["id"], None).request
    assert (request.prompt, request.seed, request.sampler) == ("at dawn a boat", 5, "Euler a")
    assert (request.steps, request.cfg_scale, request.width, request.source_names) == (3, 7, 64, ("scene 1",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"picture": None},
        {"picture": "ef" * 32},
        {"name": "../x"},
        {"output_folder": "../up"},
        {"output_directory": "up"},
        {"more": 1},
    ],
)
def test_a_wrong_item_makes_no_job(server: Server, client: TestClient, wrong: dict[str, object]) -> None:
    item = {"values": {"width": 64, "height": 64}, "picture": kept(server), "name": "scene", **wrong}
    answer = client.post("/easel/batch", json=item)
    assert answer.status_code in (404, 422)
    assert server.jobs.history(None) == []
