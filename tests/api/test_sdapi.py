"""A1111's interface: its defaults, its shapes, and words where it would go on with something else."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.access import Access
from app.api.sdapi import NOT_SERVED
from app.files import Images
from app.schema.errors import DiskFull
from app.schema.settings import FACTORY
from tests.api.conftest import Gated, client_of
from tests.api.serving import Server
from tests.files.making import put_face_files
from tests.jobs.fake_engine import picture
from tests.jobs.workplace import Gate

GOLDEN = Path(__file__).parents[1] / "golden" / "api"
SMALL = {"prompt": "a photo of a cat", "negative_prompt": "blurry", "steps": 1, "width": 64, "height": 64, "seed": 1}
MISSING = "no-such-thing"


def recorded(name: str) -> dict[str, Any]:
    """What A1111 answered."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def made(client: TestClient, **fields: object) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def info(client: TestClient, **fields: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made(client, **fields)["info"])
    return found


def refusal(client: TestClient, **fields: object) -> tuple[int, str]:
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, **fields})
    assert {"error", "detail", "body", "errors"} <= answer.json().keys()
    return answer.status_code, answer.json()["code"]


def test_extra_networks_may_be_disabled_while_their_tags_stay_in_the_infotext(client: TestClient) -> None:
    said = info(client, prompt="a cat <lora:none:1>", disable_extra_networks=True)
    assert said["infotexts"][0].startswith("a cat <lora:none:1>\n")
    assert "Ignore network tags: True" in said["infotexts"][0]
    assert "Ignore network tags" not in info(client, prompt="a cat", disable_extra_networks=True)["infotexts"][0]


def test_an_answer_has_all_of_a1111s_keys_in_its_order(client: TestClient) -> None:
    expected = recorded("txt2img-answer")
    answer = made(client, **expected["request"])
    assert list(answer) == list(expected["keys"])
    assert list(answer["parameters"].items()) == list(expected["parameters"].items())
    assert list(json.loads(answer["info"])) == list(expected["info"])


def test_what_does_not_depend_on_the_machine_has_a1111s_values(client: TestClient) -> None:
    expected = recorded("txt2img-answer")
    found, wanted = info(client, **expected["request"]), expected["info"]
    own = {"subseed", "all_subseeds", "sd_model_name", "sd_model_hash", "infotexts", "job_timestamp", "version"}
    assert {key: found[key] for key in wanted.keys() - own} == {key: wanted[key] for key in wanted.keys() - own}
    assert len(found["job_timestamp"]) == 14
    assert found["sd_model_name"] == "formula"
    assert len(found["sd_model_hash"]) == 10
    ours, theirs = found["infotexts"][0], wanted["infotexts"][0]
    assert ours.splitlines()[:2] == theirs.splitlines()[:2]
    assert [entry.split(":")[0] for entry in ours.splitlines()[2].split(", ")] == [
        entry.split(":")[0] for entry in theirs.splitlines()[2].split(", ")
    ]


def test_pictures_come_as_plain_base64_with_their_infotext(client: TestClient) -> None:
    answer = made(client, n_iter=2, batch_size=2)
    described = json.loads(answer["info"])
    assert described["all_seeds"] == [1, 2, 3, 4]
    assert len(answer["images"]) == 4
    for image, seed, infotext in zip(answer["images"], described["all_seeds"], described["infotexts"], strict=True):
        with Image.open(io.BytesIO(base64.b64decode(image))) as opened:
            assert opened.tobytes() == picture(seed, 64, 64)
            assert opened.info["parameters"] == infotext
            assert f"Seed: {seed}," in infotext


def test_the_apis_defaults_differ_from_the_pages(client: TestClient, server: Server) -> None:
    client.post("/sdapi/v1/txt2img", json={"width": 64, "height": 64})
    sent = server.jobs.history(None)[0].request
    assert (sent.steps, sent.sampler, sent.schedule, sent.cfg_scale) == (50, "Euler", "Automatic", 7.0)
    assert (sent.seed, sent.save_images, sent.prompt) == (-1, False, "")


def test_pictures_go_to_the_outputs_only_when_asked(client: TestClient, server: Server) -> None:
    made(client)
    assert list(server.folders.outputs.rglob("*.png")) == []
    assert len(list(server.folders.unsaved.rglob("*.png"))) == 1
    made(client, save_images=True)
    (saved,) = server.folders.outputs.rglob("*.png")
    assert saved.name == "00000-1.png"
    assert saved.parent.parent.name == "txt2img-images"


def test_pictures_may_stay_at_home(client: TestClient) -> None:
    answer = made(client, send_images=False)
    assert answer["images"] == []
    assert len(json.loads(answer["info"])["infotexts"]) == 1


@pytest.mark.parametrize(
    ("fields", "sampler", "schedule"),
    [
        ({"sampler_name": "Euler a"}, "Euler a", "Automatic"),
        ({"sampler_name": None, "sampler_index": "DDIM"}, "DDIM", "Automatic"),
        ({"sampler_name": "DPM++ 2M"}, "DPM++ 2M", "Karras"),
        ({"sampler_name": "DPM++ 2M SDE Exponential"}, "DPM++ 2M SDE", "Exponential"),
        ({"sampler_name": "Euler", "scheduler": "sgm_uniform"}, "Euler", "SGM Uniform"),
    ],
)
def test_samplers_are_found_as_a1111_finds_them(
    client: TestClient, fields: dict[str, object], sampler: str, schedule: str
) -> None:
    described = info(client, **fields)
    assert described["sampler_name"] == sampler
    assert f"Sampler: {sampler}, Schedule type: {schedule}," in described["infotexts"][0]


def test_odd_numbers_are_taken_as_a1111_takes_them(client: TestClient) -> None:
    assert info(client, steps="1")["steps"] == 1
    assert info(client, steps=1.5)["steps"] == 1
    assert info(client, cfg_scale=0)["cfg_scale"] == 0
    assert "Size: 100x68," in info(client, width=100, height=68)["infotexts"][0]
    assert info(client, no_such_field=1)["steps"] == 1


def test_what_cannot_be_made_is_refused_with_a_code(client: TestClient) -> None:
    assert refusal(client, sampler_name="No Such Sampler") == (422, "unknown_choice")
    assert refusal(client, sampler_name=None, sampler_index="No Such Sampler") == (422, "unknown_choice")
    assert refusal(client, scheduler="No Such Schedule") == (422, "unknown_choice")
    assert refusal(client, width=0) == (422, "invalid_field")
    assert refusal(client, width=-64) == (422, "invalid_field")
    assert refusal(client, steps=0) == (422, "invalid_field")
    assert refusal(client, steps=10**9) == (422, "invalid_field")
    assert refusal(client, batch_size=0) == (422, "invalid_field")
    assert refusal(client, prompt="a" * 2**20) == (422, "invalid_prompt")
    assert refusal(client, prompt="\0") == (422, "invalid_prompt")
    assert refusal(client, script_name=MISSING) == (422, "unknown_choice")
    assert refusal(client, alwayson_scripts={MISSING: {"args": []}}) == (422, "unknown_choice")
    assert refusal(client, restore_faces=True) == (404, "model_not_found")
    assert refusal(client, override_settings={"sd_model_checkpoint": MISSING}) == (404, "model_not_found")
    assert refusal(client, override_settings={"sd_vae": MISSING}) == (404, "model_not_found")
    assert refusal(client, override_settings={MISSING: 1}) == (422, "unknown_setting")
    assert refusal(client, override_settings={"CLIP_stop_at_last_layers": "two"}) == (422, "invalid_field")
    assert refusal(client, prompt="fail") == (500, "not_finite")
    assert info(client)["seed"] == 1


def test_faces_are_restored_where_the_field_or_the_option_says_so(client: TestClient, tmp_path: Path) -> None:
    put_face_files(tmp_path / "0")
    said = info(client, restore_faces=True)
    assert (said["restore_faces"], said["face_restoration_model"]) == (True, "GFPGAN")
    assert ", Seed: 1, Face restoration: GFPGAN, Size: 64x64," in said["infotexts"][0]
    assert info(client, infotext=said["infotexts"][0])["restore_faces"]
    assert info(client, override_settings={"face_restoration": True})["restore_faces"]
    plain = info(client, restore_faces=False, override_settings={"face_restoration": True})
    assert (plain["restore_faces"], plain["face_restoration_model"]) == (False, None)
    assert "Face restoration" not in plain["infotexts"][0]
    body = {**SMALL, "restore_faces": True, "override_settings": {"face_restoration_model": "CodeFormer"}}
    answer = client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 501
    assert "S-Lab License 1.0" in answer.json()["detail"]


def test_an_error_reads_like_a1111s(client: TestClient) -> None:
    body = client.post("/sdapi/v1/txt2img", json={**SMALL, "script_name": MISSING}).json()
    assert body["detail"] == f"Script '{MISSING}' not found"
    assert client.post("/sdapi/v1/txt2img", json={**SMALL, "steps": "many"}).json()["detail"][0]["loc"] == [
        "body",
        "steps",
    ]
    assert client.get("/sdapi/v1/no-such-route").json() == {"detail": "Not Found"}
    assert client.get("/sdapi/v1/txt2img").json() == {"detail": "Method Not Allowed"}


def test_settings_can_be_overridden_for_one_request(client: TestClient, server: Server) -> None:
    overrides = {
        "sd_model_checkpoint": "other",
        "CLIP_stop_at_last_layers": 2,
        "eta_noise_seed_delta": 31337,
        "randn_source": "NV",
        "emphasis": "No norm",
        "sd_vae": "None",
    }
    described = info(client, prompt="a (cat:1.2)", sampler_name="Euler a", override_settings=overrides)
    (infotext,) = described["infotexts"]
    assert "Model: other, VAE: None, Clip skip: 2, ENSD: 31337, RNG: NV, Emphasis: No norm" in infotext
    assert described["clip_skip"] == 2
    assert server.settings.values() == FACTORY
    assert info(client)["sd_model_name"] == "formula"


def test_overrides_that_are_not_restored_become_settings(client: TestClient) -> None:
    made(client, override_settings={"randn_source": "NV"}, override_settings_restore_afterwards=False)
    assert client.get("/sdapi/v1/options").json()["randn_source"] == "NV"
    assert "RNG: NV" in info(client)["infotexts"][0]


def test_options_are_read_changed_and_kept(client: TestClient) -> None:
    options = client.get("/sdapi/v1/options").json()
    assert options.keys() - {"sd_checkpoint_hash"} == FACTORY.model_dump().keys()
    assert options["sd_model_checkpoint"] == "formula.safetensors"
    answer = client.post("/sdapi/v1/options", json={"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "other"})
    assert (answer.status_code, answer.json()) == (200, None)
    options = client.get("/sdapi/v1/options").json()
    assert (options["CLIP_stop_at_last_layers"], options["sd_model_checkpoint"]) == (2, "other.safetensors")
    described = info(client)
    assert (described["clip_skip"], described["sd_model_name"]) == (2, "other")
    title = client.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    assert title == f"other.safetensors [{described['sd_model_hash']}]"


def test_wrong_options_are_refused_and_change_nothing(client: TestClient) -> None:
    before = client.get("/sdapi/v1/options").json()
    for changes, status, code in [
        ({"no_such_option": 1}, 422, "unknown_setting"),
        ({"CLIP_stop_at_last_layers": "two"}, 422, "invalid_field"),
        ({"sd_model_checkpoint": MISSING}, 404, "model_not_found"),
        ({"jpeg_quality": 50, "sd_vae": MISSING}, 404, "model_not_found"),
    ]:
        answer = client.post("/sdapi/v1/options", json=changes)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get("/sdapi/v1/options").json() == before


def test_settings_of_saving_hold_from_the_next_picture_on(client: TestClient, server: Server) -> None:
    client.post("/sdapi/v1/options", json={"samples_format": "jpg", "samples_filename_pattern": "[seed]-[width]"})
    answer = made(client, save_images=True)
    (saved,) = server.folders.outputs.rglob("*.jpg")
    assert saved.name == "00000-1-64.jpg"
    assert base64.b64decode(answer["images"][0]) == saved.read_bytes()


def test_samplers_and_schedulers_are_listed_as_a1111_lists_them(client: TestClient) -> None:
    assert client.get("/sdapi/v1/samplers").json() == recorded("samplers")["body"]
    assert client.get("/sdapi/v1/schedulers").json() == recorded("schedulers")["body"]


def test_checkpoints_and_memory_have_a1111s_shapes(client: TestClient) -> None:
    (one, _) = client.get("/sdapi/v1/sd-models").json()
    assert list(one) == list(recorded("sd-models")["body"][0])
    assert (one["title"], one["model_name"], one["config"]) == ("formula.safetensors", "formula", None)
    made(client)
    one = client.get("/sdapi/v1/sd-models").json()[0]
    assert one["title"] == f"formula.safetensors [{one['hash']}]"
    assert one["sha256"].startswith(one["hash"])
    memory = client.get("/sdapi/v1/memory").json()
    assert memory.keys() == recorded("memory")["body"].keys()
    assert memory["ram"].keys() == recorded("memory")["body"]["ram"].keys()
    assert 0 < memory["ram"]["used"] < memory["ram"]["total"]


def test_progress_of_an_idle_server_is_zero(client: TestClient) -> None:
    found, expected = client.get("/sdapi/v1/progress").json(), recorded("progress")["body"]
    for body in (found, expected):
        for moment in ("job_timestamp", "job_no", "sampling_steps"):
            assert moment in body["state"]
            del body["state"][moment]
    assert found == expected


def running(client: TestClient, engine: Callable[[], Gate], **fields: object) -> tuple[threading.Thread, list[Any]]:
    """A txt2img call in a thread of its own, one model call into its first picture."""
    answers: list[Any] = []
    call = threading.Thread(
        target=lambda: answers.append(client.post("/sdapi/v1/txt2img", json={**SMALL, "steps": 50, **fields}))
    )
    call.start()
    engine().permits.release()
    while client.get("/sdapi/v1/progress").json()["state"]["sampling_step"] == 0:
        time.sleep(0.001)
    return call, answers


def test_progress_tells_step_and_picture(gate: Gated) -> None:
    client, engine = gate.client, gate.engine
    call, _ = running(client, engine, n_iter=2)
    body = client.get("/sdapi/v1/progress").json()
    assert body["progress"] == pytest.approx(0.01)
    assert (body["state"]["sampling_step"], body["state"]["sampling_steps"]) == (1, 50)
    assert (body["state"]["job_no"], body["state"]["job_count"]) == (0, 2)
    picture = None
    while picture is None:
        engine().permits.release()
        picture = client.get("/sdapi/v1/progress").json()["current_image"]
    with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
        assert opened.size == (8, 8)
    assert client.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"] is None
    engine().open_for_good.set()
    call.join()
    assert client.get("/sdapi/v1/progress").json()["progress"] == 0


def test_interrupt_answers_with_the_picture_so_far(gate: Gated) -> None:
    client, engine = gate.client, gate.engine
    call, answers = running(client, engine, n_iter=3)
    assert client.get("/sdapi/v1/progress").json()["state"]["interrupted"] is False
    answer = client.post("/sdapi/v1/interrupt")
    assert (answer.status_code, answer.json()) == (200, {})
    assert client.get("/sdapi/v1/progress").json()["state"]["interrupted"] is True
    engine().open_for_good.set()
    call.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()["images"]) == 1


def test_skip_goes_on_with_the_next_picture(gate: Gated) -> None:
    server, client, engine = gate.server, gate.client, gate.engine
    call, answers = running(client, engine, n_iter=2)
    answer = client.post("/sdapi/v1/skip")
    assert (answer.status_code, answer.json()) == (200, None)
    engine().open_for_good.set()
    call.join()
    assert len(answers[0].json()["images"]) == 2
    assert [image.partial for image in server.jobs.history(None)[0].images] == [True, False]


def test_interrupt_and_skip_without_a_job_do_nothing(client: TestClient) -> None:
    assert client.post("/sdapi/v1/interrupt").json() == {}
    assert client.post("/sdapi/v1/skip").json() is None


def test_others_jobs_are_neither_shown_nor_stopped(gates: Callable[..., Gated]) -> None:
    gate = gates(access=Access(personal=False))
    server, engine = gate.server, gate.engine
    anna, berta = client_of(server, "10.0.0.1"), client_of(server, "10.0.0.2")
    call, answers = running(anna, engine)
    assert berta.get("/sdapi/v1/progress").json()["progress"] == 0
    berta.post("/sdapi/v1/interrupt")
    id = server.jobs.queue()[0].id
    for answer in (berta.get(f"/api/jobs/{id}"), berta.delete(f"/api/jobs/{id}"), berta.get(f"/api/jobs/{id}/events")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    assert berta.get("/api/queue").json() == {"queue": [{"state": "running", "id": None}]}
    engine().open_for_good.set()
    call.join()
    with Image.open(io.BytesIO(base64.b64decode(answers[0].json()["images"][0]))) as opened:
        assert opened.size == (64, 64)
    assert not server.jobs.get(id).images[0].partial


def test_refreshing_finds_new_files(client: TestClient, server: Server) -> None:
    folder = server.folders.checkpoints[0]
    (folder / "third.safetensors").write_bytes((folder / "other.safetensors").read_bytes())
    assert client.post("/sdapi/v1/refresh-checkpoints").json() is None
    assert [model["model_name"] for model in client.get("/sdapi/v1/sd-models").json()] == [
        "formula",
        "other",
        "third",
    ]


def test_styles_are_merged_and_named(client: TestClient, server: Server) -> None:
    (server.folders.data / "styles.csv").write_text('name,prompt,negative_prompt\noil,"{prompt}, oil",photo\n')
    assert client.get("/sdapi/v1/prompt-styles").json() == [
        {"name": "oil", "prompt": "{prompt}, oil", "negative_prompt": "photo"}
    ]
    described = info(client, styles=["oil"])
    assert (described["prompt"], described["negative_prompt"]) == ("a photo of a cat, oil", "blurry, photo")
    assert described["styles"] == ["oil"]


def test_routes_that_are_not_served_say_so(client: TestClient) -> None:
    for entry in NOT_SERVED:
        method, path = entry.split()
        answer = client.request(method, f"/sdapi/v1{path}", json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (501, "not_served_yet")


def test_every_answer_tells_its_time(client: TestClient) -> None:
    assert float(client.get("/sdapi/v1/samplers").headers["X-Process-Time"]) >= 0


def test_a_full_disk_is_told_and_the_next_request_is_served(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFull("The disk has no room left.", hint="Free some space.")

    with monkeypatch.context() as patched:
        patched.setattr(Images, "write", full)
        assert refusal(client) == (507, "disk_full")
    assert info(client)["seed"] == 1
