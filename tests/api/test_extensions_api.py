"""Extensions over HTTP: shown to all, chosen by the administrator, listed in A1111's shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

from app.access import Access
from app.api.sdapi_scripts import always_on
from app.extension_host import BUILT_IN
from app.schema.control import Control
from app.schema.errors import InvalidField
from extensions.soft_inpainting.settings import SoftInpainting
from tests.api.conftest import client_of
from tests.api.serving import Server

OTHER_STATES = {"example": "disabled", "refiner": "failed"}
NAMES = sorted(BUILT_IN)


def test_all_are_shown_with_what_became_of_them(servers: Callable[..., Server]) -> None:
    server = servers()
    server.extensions.fail("refiner", "Traceback:\nRuntimeError: no")
    shown = client_of(server).get("/api/extensions").json()
    assert shown["may_change"]
    assert [(one["name"], one["state"], one["enabled"]) for one in shown["extensions"]] == [
        (name, OTHER_STATES.get(name, "loaded"), name != "example") for name in NAMES
    ]
    assert shown["extensions"][NAMES.index("refiner")]["problem"] == "Traceback:\nRuntimeError: no"
    assert shown["extensions"][0]["about"].startswith("A worked example: a frame")


def test_a_choice_is_kept_for_the_next_start(server: Server) -> None:
    client = client_of(server)
    answer = client.post("/api/extensions", json={"disabled": ["refiner"], "disable_all": "extra"}).json()
    assert [one["enabled"] for one in answer["extensions"]] == [name != "refiner" for name in NAMES]
    assert [one["state"] for one in answer["extensions"]] == [
        "disabled" if name == "example" else "loaded" for name in NAMES
    ]
    values = server.settings.values()
    assert (values.disabled_extensions, values.disable_all_extensions) == (("refiner",), "extra")


def test_an_unknown_one_is_refused(server: Server) -> None:
    answer = client_of(server).post("/api/extensions", json={"disabled": ["nothing"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_field")


@pytest.mark.parametrize("name", ["disabled_extensions", "disable_all_extensions"])
def test_only_the_administrator_chooses_and_sees_tracebacks(servers: Callable[..., Server], name: str) -> None:
    server = servers(access=Access(personal=False))
    server.extensions.fail("refiner", "Traceback:\n  /home/anna/secret.py\nRuntimeError: no")
    guest = client_of(server)
    assert guest.post("/api/extensions", json={"disabled": []}).status_code == 403
    value = "all" if name == "disable_all_extensions" else NAMES
    assert guest.post("/sdapi/v1/options", json={name: value}).status_code == 403
    shown = guest.get("/api/extensions").json()
    assert not shown["may_change"]
    assert [one["problem"] for one in shown["extensions"]] == [
        "RuntimeError: no" if name == "refiner" else "" for name in NAMES
    ]


def test_a1111s_lists_have_its_shapes(server: Server) -> None:
    client = client_of(server)
    assert client.get("/sdapi/v1/extensions").json() == []  # A1111's own leaves its built-in ones out, too
    scripts = client.get("/sdapi/v1/scripts").json()
    always = ["refiner", "sampler", "seed"]
    assert scripts["txt2img"] == always
    assert {*always, "soft inpainting", "loopback"} <= {*scripts["img2img"]}
    info = client.get("/sdapi/v1/script-info").json()
    assert info[0] == {"name": "refiner", "is_alwayson": True, "is_img2img": False, "args": []}
    assert len(info) == len(scripts["txt2img"]) + len(scripts["img2img"])
    recorded = json.loads(
        (Path(__file__).parents[1] / "golden" / "api" / "soft-inpainting-script-info.json").read_text()
    )
    assert info[-1] == recorded


def test_an_always_on_script_is_an_extension_named_by_the_request() -> None:
    models = {"soft_inpainting": SoftInpainting, "mine": Mine}
    arguments = [True, 1, 0.5, 4, 0, 0.5, 2]
    asked = always_on({"Soft Inpainting": {"args": arguments}, "Sampler": {"args": [1]}, "MINE": {"args": []}}, models)
    assert SoftInpainting.model_validate(asked["soft_inpainting"]) == SoftInpainting()
    assert asked["mine"] == {}
    assert always_on({"soft inpainting": {"args": [True, 3]}}, models) == {
        "soft_inpainting": {"enabled": True, "bias": 3}
    }
    for off in ([], [False, 3]):
        assert always_on({"soft inpainting": {"args": off}}, models) == {}


@pytest.mark.parametrize("given", [{"args": [1] * 8}, {"args": 1}, [1]])
def test_wrong_arguments_of_a_script_are_refused_in_words(given: object) -> None:
    with pytest.raises(InvalidField, match="up to 7 arguments in 'args': Soft inpainting, Schedule bias"):
        always_on({"soft inpainting": given}, {"soft_inpainting": SoftInpainting})


class Mine(BaseModel):
    """Of an extension without a title."""

    width: Annotated[int, Control("Width")] = 3
