"""Downloading a model in the page: by the administrator alone, with progress; then it stands among the cards."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.access import Access
from app.api import downloads_router
from app.files import Downloads
from app.files.patience import Patience
from app.web import mount_page
from tests.api.serving import SHAPES, build_server
from tests.files.file_server import FileServer, Route, serving
from tests.files.making import write_safetensors
from tests.jobs.fake_engine import FakeEngine
from tests.web.conftest import opened, running

pytestmark = pytest.mark.browser

Opens = Callable[[Access], Page]


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serving() as found:
        yield found


@pytest.fixture
def opens(tmp_path: Path, new_context: Callable[..., BrowserContext]) -> Iterator[Opens]:
    """Opens the Checkpoints page of a server with these rules."""
    with ExitStack() as closing:

        def make(access: Access) -> Page:
            server = build_server(tmp_path / "data", FakeEngine, access)
            closing.callback(server.close)
            downloads = Downloads(server.folders, server.library, environ={}, patience=Patience(tries=1))
            closing.callback(downloads.close)
            server.app.include_router(downloads_router(downloads))
            mount_page(
                server.app,
                jobs=server.jobs,
                library=server.library,
                settings=server.settings,
                resolver=server.resolver,
                styles=server.styles,
            )
            page = opened(new_context().new_page(), closing.enter_context(running(server)))
            page.get_by_role("tab", name="Checkpoints", exact=True).click()
            expect(page.locator("#txt2img_checkpoints_cards .name")).to_have_text(["formula", "other"])
            return page

        yield make


def panel(page: Page) -> Locator:
    page.locator(".easel-downloads > summary").click()
    return page.locator(".easel-downloads")


def test_a_model_is_fetched_with_progress_and_stands_among_the_cards(
    opens: Opens, files: FileServer, tmp_path: Path
) -> None:
    data = write_safetensors(tmp_path / "a", SHAPES, metadata={"name": "fetched"}).read_bytes()
    gate = threading.Event()
    files.routes["/fetched.safetensors"] = Route(data, gate=gate)
    page = opens(Access())
    form = panel(page)
    page.fill("#easel_download_source", f"{files.address}/fetched.safetensors")
    form.get_by_role("button", name="Download", exact=True).click()
    entry = form.locator(".easel-download-list li")
    expect(entry).to_contain_text("fetched.safetensors")
    expect(entry).to_have_attribute("data-state", "running")
    expect(entry).to_contain_text(re.compile(r"downloading, [\d.]+ \w+ of [\d.]+ KB"))
    gate.set()
    expect(entry).to_have_attribute("data-state", "done")
    expect(page.locator("#txt2img_checkpoints_cards .name")).to_have_text(["fetched", "formula", "other"])
    page.click("#setting_sd_model_checkpoint input")
    expect(page.get_by_role("option", name="fetched.safetensors")).to_be_visible()
    page.keyboard.press("Escape")
    entry.get_by_role("button", name="Remove").click()
    expect(entry).to_have_count(0)


def test_a_download_can_be_cancelled_and_a_failure_says_why(opens: Opens, files: FileServer, tmp_path: Path) -> None:
    gate = threading.Event()
    files.routes["/slow.safetensors"] = Route(b"x" * 4000, gate=gate)
    page = opens(Access())
    form = panel(page)
    page.fill("#easel_download_source", f"{files.address}/slow.safetensors")
    page.keyboard.press("Enter")
    entry = form.locator(".easel-download-list li")
    expect(entry).to_have_attribute("data-state", "running")
    entry.get_by_role("button", name="Cancel").click()
    expect(form.locator('li[data-state="running"]')).to_have_count(0)
    gate.set()
    page.fill("#easel_download_source", f"{files.address}/gone.safetensors")
    page.keyboard.press("Enter")
    expect(form.locator('li[data-state="failed"] .easel-log')).to_contain_text("404")
    page.fill("#easel_download_source", "no such thing")
    page.keyboard.press("Enter")
    expect(form.locator(".easel-told").first).to_contain_text("Give a repository")


def test_guests_have_no_such_form(opens: Opens) -> None:
    page = opens(Access(personal=False))
    expect(page.locator("#easel_memory summary")).to_have_text("In memory: no model")
    expect(page.locator(".easel-downloads")).to_be_hidden()
