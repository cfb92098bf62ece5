"""Trainings over HTTP: our own routes with their events, pictures and captions, and A1111's four."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.access import Access
from tests.api.conftest import client_of
from tests.api.serving import Server
from tests.api.training_site import TrainingSite, add_trainings
from tests.jobs.training_place import some_pictures


@pytest.fixture
def site(server: Server) -> Iterator[TrainingSite]:
    made = add_trainings(server)
    yield made
    made.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return some_pictures(tmp_path / "pictures")


def asked(folder: Path, **fields: object) -> dict[str, object]:
    return {"name": "mine", "data": str(folder), "steps": 20, "sample_every": 10, **fields}


def over(client: TestClient, id: str) -> dict[str, object]:
    give_up = time.monotonic() + 60
    while True:
        told: dict[str, object] = client.get(f"/api/training/{id}").json()
        if told["state"] in ("done", "failed", "cancelled"):
            return told
        assert time.monotonic() < give_up, told
        time.sleep(0.01)


def test_a_training_is_submitted_followed_and_done(site: TrainingSite, client: TestClient, data: Path) -> None:
    answer = client.post("/api/training", json=asked(data))
    assert answer.status_code == 202
    id = answer.json()["id"]
    assert answer.headers["location"] == f"/api/training/{id}"
    told = over(client, id)
    assert (told["state"], told["made"], told["checkpoint"]) == ("done", "mine", "formula")
    with client.stream("GET", f"/api/training/{id}/events") as stream:
        events = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
    assert [event["kind"] for event in events] == ["queued", "started", "sample", "sample", "made", "finished"]
    curve = client.get(f"/api/training/{id}/curve").json()
    assert [step for step, _, _ in curve["loss"]] == list(range(1, 21))
    assert curve["loss"][3] == [4, 0.25, 1e-4]
    samples = client.get(f"/api/training/{id}/samples").json()["samples"]
    assert [sample["step"] for sample in samples] == [10, 20]
    picture = client.get("/" + samples[0]["url"])
    assert picture.headers["content-type"] == "image/png"
    assert client.get(f"/api/training/{id}/samples/none.png").status_code == 404
    assert client.get("/api/training").json()["trainings"][0]["id"] == id
    client.delete(f"/api/training/{id}")
    assert client.get(f"/api/training/{id}").status_code == 404


def test_the_step_that_looks_best_is_named_and_its_file_taken(
    server: Server, site: TrainingSite, client: TestClient, data: Path
) -> None:
    id = client.post("/api/training", json=asked(data, steps=40, sample_every=10)).json()["id"]
    over(client, id)
    told = client.get(f"/api/training/{id}/curve").json()
    assert told["validation"] == [[10, 11], [20, 1], [30, 11], [40, 21]]
    assert told["drift"] == [[10, 0.1], [20, 0.2], [30, 0.3], [40, 0.4]]
    assert told["best"] == {"step": 20, "reason": "The loss on held-out pictures is lowest there (1)."}
    assert (told["files"], told["taken"]) == ([20], None)
    made = server.folders.loras[0] / "mine.safetensors"
    last = made.read_bytes()
    assert client.post(f"/api/training/{id}/take", json={"step": 20}).status_code == 200
    assert made.read_bytes().endswith(b"best")
    assert client.get(f"/api/training/{id}/curve").json()["taken"] == 20
    client.post(f"/api/training/{id}/take", json={"step": None})
    assert made.read_bytes() == last
    refused = client.post(f"/api/training/{id}/take", json={"step": 3})
    assert (refused.status_code, "There are 20." in refused.text) == (422, True)


def test_a_kohya_toml_becomes_fields(site: TrainingSite, client: TestClient) -> None:
    text = 'train_data_dir = "dogs"\noutput_name = "dog"\nnetwork_dim = 4\nmax_train_epochs = 5\nip_noise_gamma = 1\n'
    told = client.post("/api/training/toml", json=text).json()
    assert told["left_out"] == ["ip_noise_gamma"]
    assert {name: told["fields"][name] for name in ("data", "name", "rank", "epochs", "method")} == {
        "data": "dogs", "name": "dog", "rank": 4, "epochs": 5, "method": "lora",
    }  # fmt: skip
    refused = client.post("/api/training/toml", json="no toml at all")
    assert (refused.status_code, "is no TOML" in refused.text) == (422, True)
    for wrong, field in (
        ('learning_rate = "x"', "learning_rate"),
        ('network_args = ["conv_dim=x"]', "network_args"),
        ('network_module = "networks.oft"', "lora_kind"),
        ('sample_prompts = "prompts.txt"', "sample_prompts"),
    ):
        refused = client.post("/api/training/toml", json=f'train_data_dir = "dogs"\n{wrong}')
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, field), refused.text


def test_a_training_is_paused_goes_on_is_stopped_and_cancelled(
    site: TrainingSite, client: TestClient, data: Path
) -> None:
    def state(id: str, wanted: str) -> None:
        give_up = time.monotonic() + 60
        while client.get(f"/api/training/{id}").json()["state"] != wanted:
            assert time.monotonic() < give_up
            time.sleep(0.01)

    id = client.post("/api/training", json=asked(data, steps=100_000, sample_every=0)).json()["id"]
    state(id, "running")
    client.post(f"/api/training/{id}/pause")
    state(id, "paused")
    assert client.post(f"/api/training/{id}/resume").json()["state"] in ("queued", "running")
    state(id, "running")
    client.post(f"/api/training/{id}/stop")
    assert over(client, id)["made"] == "mine"
    other = client.post("/api/training", json=asked(data, name="other", steps=100_000)).json()["id"]
    client.delete(f"/api/training/{other}")
    assert over(client, other)["state"] == "cancelled"


def test_a_failed_training_goes_on_over_http_and_its_events_with_it(
    site: TrainingSite, client: TestClient, data: Path
) -> None:
    wanted = asked(data, comment="too fast", learning_rate="1e-3", sample_every=0)
    id = client.post("/api/training", json=wanted).json()["id"]
    failed = over(client, id)
    assert (failed["state"], failed["error"]["field"]) == ("failed", "learning_rate")  # type: ignore[index]
    for rate, status in (("quick", 422), (3, 422)):
        answer = client.post(f"/api/training/{id}/resume", json={"learning_rate": rate})
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, "learning_rate"), answer.text
    going = client.post(f"/api/training/{id}/resume", json={"learning_rate": "5e-5"}).json()
    assert (going["state"] in ("queued", "running"), going["error"]) == (True, None)
    assert going["request"]["learning_rate"] == "5e-5"
    with client.stream("GET", f"/api/training/{id}/events") as stream:
        events = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
    told = [event["kind"] for event in events if event["kind"] != "training"]
    assert told == ["queued", "started", "notice", "notice", "queued", "started", "made", "finished"]
    assert client.post(f"/api/training/{id}/resume").json()["state"] == "done"


def test_a_plan_says_what_a_training_would_do_and_a_wrong_one_at_which_field(
    site: TrainingSite, client: TestClient, data: Path, tmp_path: Path
) -> None:
    plan = client.post("/api/training/plan", json=asked(data)).json()
    assert plan["words"] == "4 pictures in 1 bucket, 4 shown per epoch, 20 steps (5.0 epochs)"
    assert plan["remarks"] == ["Captions are short."]
    (tmp_path / "empty").mkdir()
    wrong: list[tuple[dict[str, object], str]] = [
        ({"data": str(tmp_path / "empty")}, "data"),
        ({"name": "../up"}, "name"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": 3}, "learning_rate"),
        ({"checkpoint": "nobody"}, "checkpoint"),
        ({"no_such": 1}, "no_such"),
    ]
    for fields, field in wrong:
        answer = client.post("/api/training", json=asked(data, **fields))
        assert answer.status_code in (404, 422), fields
        assert answer.json()["error"]["field"] == field
    assert client.get("/api/training").json() == {"trainings": []}


def test_pictures_are_listed_shown_captioned_and_added(
    site: TrainingSite, client: TestClient, data: Path, tmp_path: Path
) -> None:
    (pictures,) = client.post("/api/training-data/pictures", json=asked(data)).json().values()
    assert [picture["name"] for picture in pictures] == ["0.png", "1.png", "2.png", "3.png"]
    assert pictures[0]["bucket"] == [64, 64]
    small = client.get("/api/training-data/picture", params={"folder": str(data), "name": "0.png"})
    assert small.headers["content-type"] == "image/jpeg"
    written = client.put(
        "/api/training-data/caption", json={"folder": str(data), "name": "0.png", "caption": " a dog "}
    )
    assert written.json()["caption"] == "a dog"
    assert (data / "0.txt").read_text() == "a dog"
    (tmp_path / "secret.png").write_bytes((data / "0.png").read_bytes())
    for name in ("../secret.png", "0.txt", "none.png"):
        asked_for = {"folder": str(data), "name": name}
        assert client.get("/api/training-data/picture", params=asked_for).status_code == 404
        assert client.put("/api/training-data/caption", json={**asked_for, "caption": "x"}).status_code == 404
    picture = (data / "0.png").read_bytes()
    first = client.put("/api/training-data/dropped/my set/a.png", content=picture).json()
    assert Path(first["folder"]) == Path(first["folder"]).parent / "my set"
    assert (Path(first["folder"]) / "a.png").read_bytes() == picture
    other = (data / "1.png").read_bytes()
    assert client.put("/api/training-data/dropped/my set/a.png", content=other).json()["name"] == "a-2.png"
    for name, content in (("a.exe", picture), ("b.png", b"no picture")):
        assert client.put(f"/api/training-data/dropped/my set/{name}", content=content).status_code == 422


def test_only_the_administrator_trains_and_reads_folders(servers: Callable[..., Server], data: Path) -> None:
    server = servers(access=Access(personal=False))
    site = add_trainings(server)
    guest = client_of(server, "10.0.0.7")
    assert guest.post("/api/training", json=asked(data)).status_code == 403
    assert guest.get("/api/training").status_code == 403
    assert guest.get("/api/training-data/picture", params={"folder": str(data), "name": "0.png"}).status_code == 403
    assert guest.post("/sdapi/v1/create/embedding", json={"name": "word"}).status_code == 403
    site.close()


def test_a1111s_clients_create_and_train_embeddings_and_hypernetworks(
    site: TrainingSite, server: Server, client: TestClient, data: Path
) -> None:
    templates = server.folders.data / "textual_inversion_templates"
    templates.mkdir()
    (templates / "style_filewords.txt").write_text("a picture of [filewords] by [name]")
    made = client.post(
        "/sdapi/v1/create/embedding", json={"name": "word/!", "num_vectors_per_token": 3, "init_text": "dog"}
    )
    assert made.json() == {"info": "word was created."}
    assert (server.folders.embeddings[0] / "word.safetensors").is_file()
    running = client.post("/api/training", json=asked(data, name="long", steps=100_000, sample_every=0)).json()["id"]
    beside = client.post("/sdapi/v1/create/hypernetwork", json={"name": "beside"})
    assert beside.json() == {"info": "beside was created."}
    assert client.get(f"/api/training/{running}").json()["state"] in ("queued", "running")
    client.delete(f"/api/training/{running}")
    again = client.post("/sdapi/v1/create/embedding", json={"name": "word"})
    assert again.status_code == 422
    arguments = {
        "embedding_name": "word",
        "learn_rate": "5e-3:10, 1e-3",
        "batch_size": 2,
        "gradient_step": 1,
        "data_root": str(data),
        "training_width": 64,
        "training_height": 64,
        "steps": 20,
        "clip_grad_mode": "norm",
        "clip_grad_value": "0.5",
        "create_image_every": 10,
        "save_embedding_every": 0,
        "template_filename": "style_filewords.txt",
        "preview_from_txt2img": True,
        "preview_prompt": "word",
        "preview_steps": 5,
        "preview_seed": -1,
        "preview_sampler_name": "DPM++ 2M Karras",
        "log_directory": "",
        "save_image_with_stored_embedding": False,
    }
    done = client.post("/sdapi/v1/train/embedding", json=arguments)
    assert done.json() == {"info": "Trained: word after 20 steps."}
    request = site.trainings.history(None)[0].run.request
    assert (request.vectors, request.initial_text, request.clip) == (3, "dog", 0.5)
    assert (request.learning_rate, request.batch_size, request.prior) == ("5e-3:10, 1e-3", 2, "none")
    assert request.sample_prompts == "word --s 5 --ss DPM++ 2M"
    wanted = {"name": "hyper", "enable_sizes": ["320"], "layer_structure": "1, 2, 1", "activation_func": "relu"}
    assert client.post("/sdapi/v1/create/hypernetwork", json=wanted).status_code == 200
    arguments = {"hypernetwork_name": "hyper", "data_root": str(data), "steps": 5}
    assert client.post("/sdapi/v1/train/hypernetwork", json=arguments).json()["info"].startswith("Trained: hyper")
    request = site.trainings.history(None)[0].run.request
    assert (request.widths, request.activation, request.learning_rate) == ((320,), "relu", "0.00001")
    for wrong, status, field in (
        ({"hypernetwork_name": "none"}, 404, "hypernetwork_name"),
        ({**arguments, "latent_sampling_method": "random"}, 501, "latent_sampling_method"),
        ({**arguments, "template_filename": "x"}, 422, "template_filename"),
        ({**arguments, "clip_grad_mode": "norm", "clip_grad_value": "x"}, 422, "clip_grad_value"),
    ):
        answer = client.post("/sdapi/v1/train/hypernetwork", json=wrong)
        assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    for key, value in (("enable_sizes", ["a"]), ("enable_sizes", [None]), ("layer_structure", "1, b")):
        answer = client.post("/sdapi/v1/create/hypernetwork", json={**wanted, "name": "other", key: value})
        assert (answer.status_code, answer.json()["field"]) == (422, key), answer.text


def test_a1111s_clients_are_told_which_arguments_nothing_here_does(
    site: TrainingSite, server: Server, client: TestClient, data: Path
) -> None:
    templates = server.folders.data / "textual_inversion_templates"
    templates.mkdir()
    (templates / "style_filewords.txt").write_text("a picture of [filewords] by [name]")
    client.post("/sdapi/v1/create/embedding", json={"name": "word"})
    arguments = {
        "embedding_name": "word",
        "data_root": str(data),
        "steps": 5,
        "create_image_every": 0,
        "clip_grad_mode": "norm",
        "clip_grad_value": "0.5:3, 0.1",
        "log_directory": "textual_inversion",
        "save_image_with_stored_embedding": True,
    }
    assert client.post("/sdapi/v1/train/embedding", json=arguments).json()["info"] == (
        "Trained: word after 5 steps. Left out, as nothing here does it: log_directory; "
        "save_image_with_stored_embedding; clip_grad_value after its first number."
    )
    assert site.trainings.history(None)[0].run.request.clip == 0.5
