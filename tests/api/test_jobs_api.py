"""Easel's own interface: a job is accepted, watched, fetched and stopped by its id."""

from __future__ import annotations

import asyncio
import io
import json
import time

from PIL import Image
from starlette.testclient import TestClient

from app.api.events import event_stream
from tests.api.conftest import Gated
from tests.api.serving import Server
from tests.jobs.fake_engine import picture

SMALL = {"prompt": "a cat", "width": 16, "height": 8, "steps": 2, "seed": 7}


def events(client: TestClient, id: str, after: str | None = None) -> list[dict[str, str]]:
    """All server-sent events of a job until it is over: id, event and data of each."""
    found = []
    headers = {"Last-Event-ID": after} if after else {}
    with client.stream("GET", f"/api/jobs/{id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in "".join(answer.iter_text()).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
            if "data" in fields:
                found.append(fields)
    return found


def finished(client: TestClient, **fields: object) -> dict[str, object]:
    id = client.post("/api/jobs", json={**SMALL, **fields}).json()["id"]
    events(client, id)
    job: dict[str, object] = client.get(f"/api/jobs/{id}").json()
    return job


def test_a_job_is_accepted_and_becomes_pictures(client: TestClient) -> None:
    answer = client.post("/api/jobs", json={**SMALL, "batch_count": 2})
    assert answer.status_code == 202
    id = answer.json()["id"]
    assert answer.json() == {"id": id, "state": "queued"}
    assert answer.headers["location"] == f"/api/jobs/{id}"
    events(client, id)
    job = client.get(f"/api/jobs/{id}").json()
    assert (job["state"], job["error"], job["progress"]) == ("done", None, None)
    assert [(image["index"], image["seed"], image["width"], image["height"]) for image in job["images"]] == [
        (0, 7, 16, 8),
        (1, 8, 16, 8),
    ]
    fetched = client.get(job["images"][1]["url"])
    assert fetched.headers["content-type"] == "image/png"
    assert fetched.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(fetched.content)) as image:
        assert image.tobytes() == picture(8, 16, 8)
        assert image.info["parameters"] == job["images"][1]["infotext"]


def test_events_carry_ids_and_are_replayed_after_the_last_one_seen(client: TestClient) -> None:
    id = client.post("/api/jobs", json=SMALL).json()["id"]
    first = events(client, id)
    states = [event for event in first if "id" in event]
    assert [event["event"] for event in states] == ["queued", "started", "notice", "image", "finished"]
    assert all(json.loads(event["data"])["kind"] == event["event"] for event in first)
    assert all(event["event"] in ("progress", "preview") for event in first if "id" not in event)
    again = events(client, id, after=states[2]["id"])
    assert [event["event"] for event in again] == ["image", "finished"]
    answer = client.get(f"/api/jobs/{id}/events", headers={"Last-Event-ID": states[-1]["id"]})
    assert (answer.status_code, answer.text) == (204, "")


def test_silence_is_broken_by_heartbeats(gate: Gated) -> None:
    server, client, engine = gate.server, gate.client, gate.engine
    id = client.post("/api/jobs", json=SMALL).json()["id"]

    async def read() -> str:
        text = ""
        async for part in event_stream(lambda: server.jobs.watch_async(id), heartbeat=0.005):
            text += part
            if text.count(": still here\n\n") == 2:
                engine().open_for_good.set()
        return text

    text = asyncio.run(read())
    assert text.count(": still here\n\n") >= 2
    assert "event: finished" in text


def test_a_running_job_tells_its_progress(gate: Gated) -> None:
    client, engine = gate.client, gate.engine
    id = client.post("/api/jobs", json={**SMALL, "steps": 4}).json()["id"]
    progress = None
    engine().permits.release()
    while not progress or progress["step"] == 0:
        time.sleep(0.001)
        progress = client.get(f"/api/jobs/{id}").json()["progress"]
    assert (progress["step"], progress["steps"], progress["progress"]) == (1, 4, 0.25)


def test_delete_cancels(gate: Gated) -> None:
    server, client, engine = gate.server, gate.client, gate.engine
    running = client.post("/api/jobs", json=SMALL).json()["id"]
    engine()
    waiting = client.post("/api/jobs", json=SMALL).json()["id"]
    assert client.delete(f"/api/jobs/{waiting}").json() == {"id": waiting, "state": "cancelled"}
    assert client.delete(f"/api/jobs/{running}").status_code == 200
    engine().open_for_good.set()
    assert server.jobs.wait(running, 10).state == "cancelled"


def test_interrupt_and_skip_go_by_id(gate: Gated) -> None:
    server, client, engine = gate.server, gate.client, gate.engine
    id = client.post("/api/jobs", json={**SMALL, "steps": 50, "batch_count": 3}).json()["id"]
    engine().permits.release()
    while not (client.get(f"/api/jobs/{id}").json()["progress"] or {}).get("step"):
        time.sleep(0.001)
    assert client.post(f"/api/jobs/{id}/skip").json() == {"id": id, "state": "running"}
    engine().permits.release(2)
    while len(server.jobs.get(id).images) < 1:
        time.sleep(0.001)
    assert client.post(f"/api/jobs/{id}/interrupt").status_code == 200
    engine().open_for_good.set()
    job = server.jobs.wait(id, 10)
    assert job.state == "done"
    assert job.images[0].partial


def test_the_history_lists_the_callers_jobs_newest_first(client: TestClient) -> None:
    ids = [str(finished(client, seed=seed)["id"]) for seed in (1, 2, 3)]
    assert [job["id"] for job in client.get("/api/jobs").json()["jobs"]] == ids[::-1]
    assert [job["id"] for job in client.get("/api/jobs?limit=1").json()["jobs"]] == ids[-1:]


def test_the_queue_shows_everybody_in_order(gate: Gated) -> None:
    client, engine = gate.client, gate.engine
    first = client.post("/api/jobs", json=SMALL).json()["id"]
    engine()
    second = client.post("/api/jobs", json=SMALL).json()["id"]
    assert client.get("/api/queue").json() == {
        "queue": [{"state": "running", "id": first}, {"state": "queued", "id": second}]
    }


def test_refusals_name_field_and_cause(client: TestClient) -> None:
    def refusal(**fields: object) -> tuple[int, str, str | None]:
        answer = client.post("/api/jobs", json={**SMALL, **fields})
        error = answer.json()["error"]
        assert error["message"]
        return answer.status_code, error["code"], error["field"]

    assert refusal(sampler="No Such Sampler") == (422, "unknown_choice", "sampler")
    assert refusal(width=0) == (422, "invalid_field", "width")
    assert refusal(steps=10**9) == (422, "invalid_field", "steps")
    assert refusal(prompt="a" * 2**20) == (422, "invalid_prompt", "prompt")
    assert refusal(prompt="nul \0 byte") == (422, "invalid_prompt", "prompt")
    assert refusal(checkpoint="missing") == (404, "model_not_found", "checkpoint")
    assert refusal(no_such_field=1) == (422, "invalid_field", "no_such_field")
    assert refusal(version=99) == (409, "newer_version", None)
    assert client.get("/api/jobs").json() == {"jobs": []}


def test_half_a_character_is_refused(client: TestClient) -> None:
    answer = client.post("/api/jobs", content=b'{"prompt": "\\ud800"}', headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_prompt")


def test_a_body_that_is_no_object_is_refused(client: TestClient) -> None:
    for body in (b"{broken", b"[1]", b""):
        answer = client.post("/api/jobs", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_field")


def test_emoji_and_chinese_go_through(client: TestClient) -> None:
    job = finished(client, prompt="一只猫 🐈 in the snow")
    image = job["images"][0]  # type: ignore[index]
    assert image["infotext"].startswith("一只猫 🐈 in the snow\n")
    with Image.open(io.BytesIO(client.get(image["url"]).content)) as saved:
        assert saved.info["parameters"] == image["infotext"]


def test_a_failed_job_says_why_and_the_next_one_runs(client: TestClient) -> None:
    job = finished(client, prompt="fail")
    assert job["state"] == "failed"
    assert job["error"] == {"code": "not_finite", "message": "The picture is not finite.", "field": None}
    assert finished(client)["state"] == "done"


def test_what_is_not_there_is_not_found(client: TestClient) -> None:
    for path in ("/api/jobs/nosuchjob", "/api/jobs/nosuchjob/events", "/api/jobs/nosuchjob/images/0"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    job = finished(client)
    answer = client.get(f"/api/jobs/{job['id']}/images/5")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "picture_not_found")


def test_a_picture_whose_file_is_gone_is_not_found(client: TestClient, server: Server) -> None:
    job = finished(client)
    for file in server.folders.outputs.rglob("*.png"):
        file.unlink()
    answer = client.get(job["images"][0]["url"])  # type: ignore[index]
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "picture_not_found")


def test_models_are_listed_with_what_is_wrong_with_them(client: TestClient, server: Server) -> None:
    (server.folders.checkpoints[0] / "broken.safetensors").write_bytes(b"\xff" * 50)
    assert client.post("/api/models/refresh").status_code == 200
    models = {model["name"]: model for model in client.get("/api/models").json()["models"]}
    assert models["formula.safetensors"]["problem"] is None
    assert models["broken.safetensors"]["problem"]["code"] == "broken_model_file"
    assert str(server.folders.data) not in client.get("/api/models").text
    assert client.get("/api/models?kind=lora").json() == {"models": []}
    assert client.get("/api/models?kind=nonsense").status_code == 422


def test_the_description_needs_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    described = client.get("/openapi.json").json()["paths"]
    assert {"/api/jobs", "/api/jobs/{id}", "/api/jobs/{id}/events", "/sdapi/v1/txt2img"} <= described.keys()
    body = described["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["steps"]["default"] == 20
