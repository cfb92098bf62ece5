"""Who may ask for what: logins, sessions, and requests that another web page sent in the user's name."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from app.access import SESSION_COOKIE, Access
from tests.api.conftest import client_of
from tests.api.serving import Server

SMALL = {"prompt": "a cat", "width": 16, "height": 8, "steps": 2}
Servers = Callable[..., Server]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def code(answer: object) -> str:
    body = answer.json()  # type: ignore[attr-defined]
    return body["code"] if "code" in body else body["error"]["code"]


def page(client: TestClient, **headers: str) -> TestClient:
    """Loads the one page there is, as a browser does."""
    client.get("/docs", headers={"Accept": "text/html", **headers})
    return client


def owner(server: Server, client: TestClient) -> str:
    id = client.post("/api/jobs", json=SMALL).json()["id"]
    return server.jobs.get(id).owner


def test_api_logins_guard_a1111s_interface_and_leave_the_page_open(servers: Servers) -> None:
    server = servers(access=Access(api_logins={"anna": "geheim", "jürgen": "pässwort"}))
    client = client_of(server)
    refused = client.get("/sdapi/v1/samplers")
    assert (refused.status_code, code(refused)) == (401, "not_allowed")
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert client.get("/docs").status_code == 200
    for user, password, status in [
        ("anna", "geheim", 200),
        ("jürgen", "pässwort", 200),
        ("anna", "falsch", 401),
        ("berta", "geheim", 401),
        ("", "", 401),
    ]:
        answer = client.get("/sdapi/v1/samplers", headers={"Authorization": basic(user, password)})
        assert answer.status_code == status
    for header in ("Basic", "Basic !!!", "Bearer abc", "Basic " + base64.b64encode(b"\xff\xfe").decode()):
        assert client.get("/sdapi/v1/samplers", headers={"Authorization": header}).status_code == 401


def test_page_logins_guard_everything(servers: Servers) -> None:
    client = client_of(servers(access=Access(page_logins={"anna": "geheim"})))
    for path in ("/", "/docs", "/openapi.json", "/api/jobs", "/sdapi/v1/samplers", "/no-such-path"):
        assert client.get(path).status_code == 401
    assert client.get("/sdapi/v1/samplers", headers={"Authorization": basic("anna", "geheim")}).status_code == 200


def test_without_a_page_api_logins_guard_everything(servers: Servers) -> None:
    client = client_of(servers(access=Access(api_logins={"anna": "geheim"}, page_served=False)))
    assert client.get("/api/jobs").status_code == 401
    assert client.get("/api/jobs", headers={"Authorization": basic("anna", "geheim")}).status_code == 200


def test_jobs_belong_to_the_login(servers: Servers) -> None:
    server = servers(access=Access(page_logins={"anna": "a", "berta": "b"}))
    anna = client_of(server, Authorization=basic("anna", "a"))
    berta = client_of(server, Authorization=basic("berta", "b"))
    id = anna.post("/api/jobs", json=SMALL).json()["id"]
    assert server.jobs.get(id).owner == "user:anna"
    assert server.jobs.wait(id, 10).state == "done"
    assert berta.get(f"/api/jobs/{id}").status_code == 404
    assert berta.get(f"/api/jobs/{id}/images/0").status_code == 404
    assert anna.get(f"/api/jobs/{id}/images/0").status_code == 200
    assert (len(anna.get("/api/jobs").json()["jobs"]), berta.get("/api/jobs").json()) == (1, {"jobs": []})


def test_each_login_has_settings_of_its_own(servers: Servers) -> None:
    server = servers(access=Access(page_logins={"anna": "a", "berta": "b"}))
    anna = client_of(server, Authorization=basic("anna", "a"))
    berta = client_of(server, Authorization=basic("berta", "b"))
    anna.post("/sdapi/v1/options", json={"randn_source": "NV", "sd_model_checkpoint": "other"})
    assert anna.get("/sdapi/v1/options").json()["randn_source"] == "NV"
    assert berta.get("/sdapi/v1/options").json()["randn_source"] == "CPU"
    assert berta.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "formula.safetensors"
    assert anna.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "other.safetensors"
    refused = berta.post("/sdapi/v1/options", json={"outdir_txt2img_samples": "/etc"})
    assert (refused.status_code, code(refused)) == (403, "forbidden")


def test_each_browser_gets_a_session_with_its_first_page(servers: Servers) -> None:
    server = servers(access=Access(personal=False))
    one, other = page(client_of(server)), page(client_of(server))
    session = one.cookies[SESSION_COOKIE]
    assert session != other.cookies[SESSION_COOKIE]
    assert owner(server, one).startswith("browser:")
    assert owner(server, one) == owner(server, one) != owner(server, other)
    assert session not in owner(server, one)
    page(one)
    assert one.cookies[SESSION_COOKIE] == session


def test_the_cookie_is_kept_from_scripts_and_other_sites(server: Server) -> None:
    cookie = client_of(server).get("/docs", headers={"Accept": "text/html"}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "set-cookie" not in client_of(server).get("/sdapi/v1/samplers").headers


def test_a_made_up_session_counts_as_none(servers: Servers) -> None:
    server = servers(access=Access(personal=False))
    for value in ("short", "x" * 100, "with space in it, and a comma"):
        assert owner(server, client_of(server, Cookie=f"{SESSION_COOKIE}={value}")) == "local"


def test_programs_without_a_session_are_known_by_their_address(servers: Servers) -> None:
    server = servers(access=Access(personal=False))
    assert owner(server, client_of(server)) == "local"
    assert owner(server, client_of(server, "192.168.0.7")) == "address:192.168.0.7"


def test_alone_at_the_machine_every_job_is_ones_own(server: Server) -> None:
    browser, program = page(client_of(server)), client_of(server)
    id = browser.post("/api/jobs", json=SMALL).json()["id"]
    assert program.get(f"/api/jobs/{id}").status_code == 200
    assert program.get("/api/jobs").json() == {"jobs": []}


@pytest.mark.parametrize("path", ["/api/jobs", "/sdapi/v1/txt2img", "/sdapi/v1/interrupt", "/sdapi/v1/options"])
def test_another_web_page_cannot_change_anything(client: TestClient, server: Server, path: str) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1.evil.example:7860"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = client.post(path, json=SMALL, headers=headers)
        assert (answer.status_code, code(answer)) == (403, "forbidden")
    assert server.jobs.history(None) == []


def test_our_own_page_and_programs_may(client: TestClient) -> None:
    for headers in (
        {"Origin": "http://127.0.0.1:7860", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://studio.example", "X-Forwarded-Host": "studio.example"},
        {},
    ):
        assert client.post("/api/jobs", json=SMALL, headers=headers).status_code == 202


def test_allowed_origins_may_and_get_their_cors_answers(servers: Servers) -> None:
    client = client_of(servers(access=Access(origins=["https://tool.example"], api_logins={"anna": "a"})))
    preflight = client.options(
        "/sdapi/v1/txt2img", headers={"Origin": "https://tool.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://tool.example"
    answer = client.post(
        "/sdapi/v1/txt2img",
        json=SMALL,
        headers={"Origin": "https://tool.example", "Authorization": basic("anna", "a")},
    )
    assert answer.status_code == 200
    refused = client.options(
        "/sdapi/v1/txt2img", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost:7860", 200),
        ("[::1]:7860", 200),
        ("192.168.0.5:7860", 200),
        ("gpu-box", 200),
        ("gpu-box.lan:7860", 200),
        ("evil.example:7860", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_a_name_that_a_stranger_could_own_is_not_answered(client: TestClient, host: str, status: int) -> None:
    assert client.get("/sdapi/v1/samplers", headers={"Host": host}).status_code == status


def test_names_that_were_allowed_are_answered(servers: Servers) -> None:
    client = client_of(servers(access=Access(hosts=["*.gradio.live"], origins=["https://studio.example"])))
    for host, status in [("abc.gradio.live", 200), ("studio.example", 200), ("gradio.live.evil.example", 403)]:
        assert client.get("/sdapi/v1/samplers", headers={"Host": host}).status_code == status


def test_behind_a_login_the_name_does_not_matter(servers: Servers) -> None:
    client = client_of(servers(access=Access(page_logins={"anna": "a"})), Authorization=basic("anna", "a"))
    assert client.get("/sdapi/v1/samplers", headers={"Host": "studio.example"}).status_code == 200
