"""A browser, and whole servers with the page whose engine goes on only when the test lets it."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import app.web
from app.access import Access
from app.jobs import Engine
from app.jobs.engine import BeforeGroup
from app.web import mount_page
from tests.api.serving import Server, build_server
from tests.browsers import find_browser
from tests.jobs.workplace import Gate

DESK = {"width": 1440, "height": 1000}
expect.set_options(timeout=10_000)


@dataclass(frozen=True)
class Site:
    """A running server. address: of its page. engine: the gate that its pictures wait at."""

    server: Server
    address: str
    engines: list[Gate]
    stop_serving: Callable[[], None]

    @property
    def engine(self) -> Gate:
        while not self.engines:
            time.sleep(0.001)
        return self.engines[0]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Contexts are strangers to each other: own cookies, own storage."""
    made: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        made.append(browser.new_context(**{"viewport": DESK, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Open to several people, so that each browser sees its own jobs alone."""
    with site_with(tmp_path, Access(personal=False)) as made:
        yield made


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """Of the only person at this machine, who may change its files."""
    with site_with(tmp_path, Access()) as made:
        yield made


@contextmanager
def site_with(folder: Path, access: Access) -> Iterator[Site]:
    """A running server with the page and these rules."""
    engines: list[Gate] = []

    def make_engine(before_group: BeforeGroup) -> Engine:
        engines.append(Gate(before_group))
        engines[-1].pause = 0.11  # progress is told ten times a second, so that this shows every step
        return engines[-1]

    server = build_server(folder, make_engine, access)
    mount_page(
        server.app,
        jobs=server.jobs,
        library=server.library,
        settings=server.settings,
        resolver=server.resolver,
        styles=server.styles,
        extension_tabs=server.extensions.registry.owners("register_tabs"),
        extension_failed=server.extensions.fail,
    )
    with ExitStack() as serving:
        address = serving.enter_context(running(server))
        yield Site(server, address, engines, serving.close)
        for engine in engines:
            engine.open_for_good.set()
    server.close()


@contextmanager
def running(server: Server, port: int = 0) -> Iterator[str]:
    """Serves over a real socket; the address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    http = uvicorn.Server(
        uvicorn.Config(server.app, log_level="warning", ws="none", lifespan="on", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=http.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        http.should_exit = True
        thread.join(10)


@pytest.fixture
def browser_script(new_context: Callable[..., BrowserContext]) -> Page:
    """An empty page that knows the functions of weights.js."""
    page = new_context().new_page()
    page.add_script_tag(content="window.easel = {}")
    page.add_script_tag(path=Path(app.web.__file__).parent / "script" / "weights.js")
    return page


def opened(page: Page, address: str) -> Page:
    """The page, with its form filled in by the server."""
    page.goto(address)
    page.locator("html[data-form=filled]").wait_for()
    expect(page.locator("#setting_sd_model_checkpoint input")).to_have_value(re.compile(r"^formula\.safetensors"))
    return page


@pytest.fixture
def page(site: Site, new_context: Callable[..., BrowserContext]) -> Page:
    return opened(new_context().new_page(), site.address)


def fill_small(page: Page, prompt: str = "a cat", steps: int = 3, **numbers: int) -> None:
    """A job of small pictures."""
    page.fill("#txt2img_prompt textarea", prompt)
    for name, value in {"steps": steps, "width": 64, "height": 64, **numbers}.items():
        box = page.locator(f"#txt2img_{name} input[type=number]")
        box.fill(str(value))
        box.blur()
