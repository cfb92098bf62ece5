"""The Script menu: one script at a time, whose fields alone are seen, sent, kept and pasted."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Site
from tests.web.test_redrawing import choose_picture, fill_tab, open_tab, picture

pytestmark = pytest.mark.browser


def chosen(page: Page, script: str, tab: str = "img2img") -> None:
    page.click(f"#{tab}_script_list input")
    page.get_by_role("option", name=script, exact=True).click()


def test_the_chosen_scripts_fields_are_shown_sent_kept_and_given_up(page: Page, site: Site) -> None:
    open_tab(page, "img2img")
    expect(page.locator("#img2img_loopback")).to_be_hidden()
    chosen(page, "Loopback")
    expect(page.locator("#img2img_loopback")).to_be_visible()
    page.fill("#img2img_loopback_loops input[type=number]", "2")
    page.locator("#img2img_loopback_loops input[type=number]").blur()
    page.get_by_role("radio", name="Lazy").check()
    choose_picture(page, "img2img", picture(64, 64))
    fill_tab(page, "img2img", steps=1)
    page.click("#img2img_generate")
    site.engine.permits.release(2)
    expect(page.locator("#img2img_gallery .easel-thumbnails li")).to_have_count(2)
    [job] = site.server.jobs.history(None, 1)
    assert job.request.extensions["loopback"]["loops"] == 2
    assert job.request.extensions["loopback"]["curve"] == "Lazy"
    assert [image.seed - job.images[0].seed for image in job.images] == [0, 1]
    page.reload()
    open_tab(page, "img2img")
    expect(page.locator("#img2img_loopback_loops input[type=number]")).to_have_value("2")
    expect(page.locator("#img2img_script_list input")).to_have_value("Loopback")
    chosen(page, "None")
    expect(page.locator("#img2img_loopback")).to_be_hidden()
    page.click("#img2img_generate")
    site.engine.permits.release(1)
    expect(page.locator("#img2img_gallery .easel-thumbnails li, #img2img_gallery .easel-stage img")).not_to_have_count(
        0
    )
    page.wait_for_function("() => !document.querySelector('.easel-running')")
    assert site.server.jobs.history(None, 1)[0].request.extensions == {}
