"""The Extensions tab in a browser, and tabs that extensions bring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import BrowserContext, expect

from app.extension_host import ExtensionHost
from app.hooks import Tab
from tests.installing.making import archive
from tests.web.conftest import Site, opened

pytestmark = pytest.mark.browser


def working() -> None:
    gr.Markdown("hello from an extension")


def broken() -> None:
    gr.Markdown("half of it")
    raise RuntimeError("no gradio today")


@pytest.fixture(autouse=True)
def two_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """hires_fix brings a tab that works, refiner one that does not."""
    load = ExtensionHost.load

    def with_tabs(host: ExtensionHost) -> None:
        load(host)
        host.registry.enter("hires_fix", {"register_tabs": [Tab("Works", working)]})
        host.registry.enter("refiner", {"register_tabs": [Tab("Breaks", broken)]})

    monkeypatch.setattr(ExtensionHost, "load", with_tabs)


def test_extensions_are_shown_and_chosen_and_their_tabs_isolated(
    own_site: Site, new_context: Callable[..., BrowserContext]
) -> None:
    page = opened(new_context().new_page(), own_site.address)
    page.get_by_role("tab", name="Works", exact=True).click()
    expect(page.get_by_text("hello from an extension")).to_be_visible()
    page.get_by_role("tab", name="Breaks", exact=True).click()
    expect(page.get_by_text("This tab could not be drawn")).to_be_visible()
    page.get_by_role("tab", name="Extensions", exact=True).click()
    refiner = page.locator("#extensions_list section[aria-label=refiner]")
    expect(refiner).to_have_attribute("data-state", "failed")
    expect(refiner.locator("pre")).to_contain_text("RuntimeError: no gradio today")
    example = page.get_by_label("Enable example")
    expect(example).not_to_be_checked()
    example.check()
    page.get_by_role("button", name="Apply at the next start").click()
    expect(page.locator("#extensions_said")).to_have_text("Kept. Start Easel again for it to take effect.")
    expect(page.locator("section[aria-label=example]")).to_contain_text("At the next start it is loaded.")
    assert own_site.server.settings.values().disabled_extensions == ()
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_archive_is_installed_from_the_tab_and_can_be_undone(
    own_site: Site, new_context: Callable[..., BrowserContext], tmp_path: Path
) -> None:
    page = opened(new_context().new_page(), own_site.address)
    page.get_by_role("tab", name="Extensions", exact=True).click()
    form = page.locator("#extensions_install")
    expect(form).to_be_visible()
    expect(page.locator("#extensions_password_row")).to_be_hidden()
    page.locator("#extensions_archive").set_input_files(archive(tmp_path / "my cats.zip"))
    page.get_by_role("button", name="Install", exact=True).click()
    expect(page.locator("#extensions_installing")).to_have_text("my-cats: It is loaded at the next start.")
    expect(page.locator("#extensions_waiting")).to_contain_text("my-cats is installed at the next start.")
    assert own_site.server.installer.waiting() == {"my-cats": "install"}
    page.locator("#extensions_address").fill("ftp://example.org/cats")
    page.locator("#extensions_archive").set_input_files([])
    page.get_by_role("button", name="Install", exact=True).click()
    expect(page.locator("#extensions_error")).to_contain_text("is no address of a git repository")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#extensions_waiting")).to_be_empty()
    assert own_site.server.installer.waiting() == {}
    page.set_viewport_size({"width": 390, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
