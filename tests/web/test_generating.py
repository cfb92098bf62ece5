"""A person's way to a picture: prompt, progress, picture; reload, stop, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.files import read_infotext
from tests.web.conftest import Site, fill_small, opened

pytestmark = pytest.mark.browser

GENERATE = "#txt2img_generate"
WORDS = "#txt2img_progress_words"
PREVIEW = "#txt2img_gallery .easel-preview"
PICTURE = "#txt2img_gallery .easel-stage button img"
INFOTEXT = "#html_info_txt2img"


def test_a_prompt_becomes_a_picture_with_its_infotext(page: Page, site: Site) -> None:
    fill_small(page, "a red house, night")
    page.fill("#txt2img_neg_prompt textarea", "blurry")
    page.fill("#txt2img_seed input", "77")
    page.click(GENERATE)
    expect(page.locator(WORDS)).to_be_visible()
    site.engine.permits.release(1)
    expect(page.locator(WORDS)).to_contain_text("picture 1 of 1, step 1 of 3")
    expect(page.locator(".easel-bar")).to_have_attribute("aria-valuenow", "33")
    site.engine.permits.release(1)
    expect(page.locator(WORDS)).to_contain_text(re.compile(r"step 2 of 3, \d+ s left"))
    expect(page.locator(PREVIEW)).to_be_visible()
    site.engine.permits.release(1)
    expect(page.locator(INFOTEXT)).to_contain_text("a red house, night\nNegative prompt: blurry\nSteps: 3")
    expect(page.locator(INFOTEXT)).to_contain_text("Seed: 77, Size: 64x64")
    expect(page.locator("#html_log_txt2img")).to_have_text(re.compile(r"Time taken: \d+\.\d s"))
    expect(page.locator(WORDS)).to_be_hidden()
    file = page.request.get(site.address + "/" + str(page.locator(PICTURE).get_attribute("src")))
    assert read_infotext(file.body()) == page.locator(INFOTEXT).inner_text()
    assert page.locator(PICTURE).evaluate("image => image.complete && image.naturalWidth") == 64


def test_a_page_loaded_in_the_middle_takes_the_job_up_again(page: Page, site: Site) -> None:
    fill_small(page, batch_count=2)
    page.click(GENERATE)
    site.engine.permits.release(4)
    expect(page.locator(WORDS)).to_contain_text("picture 2 of 2, step 1 of 3")
    page.reload()
    expect(page.locator(WORDS)).to_contain_text("picture 2 of 2, step 1 of 3")
    expect(page.locator("#txt2img_interrupt")).to_be_enabled()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a cat")
    site.engine.permits.release(2)
    expect(page.locator(".easel-thumbnails img")).to_have_count(2)
    expect(page.locator("#txt2img_interrupt")).to_be_disabled()
    page.reload()
    expect(page.locator(".easel-thumbnails img")).to_have_count(2)
    expect(page.locator(INFOTEXT)).to_contain_text("a cat")


def test_interrupt_ends_the_job_and_keeps_what_there_is(page: Page, site: Site) -> None:
    fill_small(page, steps=20, batch_count=3)
    page.click(GENERATE)
    site.engine.permits.release(2)
    expect(page.locator(WORDS)).to_contain_text("step 2 of 20")
    page.click("#txt2img_interrupt")
    site.engine.permits.release(2)
    expect(page.locator("#txt2img_interrupt")).to_be_disabled()
    expect(page.locator(PICTURE)).to_have_count(1)
    assert site.server.jobs.history(None)[0].images[0].partial


def test_skip_goes_on_with_the_next_picture(page: Page, site: Site) -> None:
    fill_small(page, steps=20, batch_count=2)
    page.click(GENERATE)
    site.engine.permits.release(2)
    expect(page.locator(WORDS)).to_contain_text("picture 1 of 2, step 2 of 20")
    page.keyboard.press("Alt+Enter")
    site.engine.permits.release(3)
    expect(page.locator(WORDS)).to_contain_text("picture 2 of 2")
    site.engine.open_for_good.set()
    expect(page.locator(".easel-thumbnails img")).to_have_count(2)
    assert [image.partial for image in site.server.jobs.history(None)[0].images] == [True, False]


def test_what_cannot_be_done_is_said_in_words_at_its_field(page: Page, site: Site) -> None:
    fill_small(page, "(cat:1.2.3)")
    page.click(GENERATE)
    expect(page.locator("#txt2img_error")).to_contain_text("1.2.3")
    expect(page.locator("#txt2img_prompt")).to_have_class(re.compile("easel-wrong"))
    expect(page.locator("#txt2img_prompt textarea")).to_have_attribute("aria-invalid", "true")
    assert site.server.jobs.history(None) == []
    page.fill("#txt2img_prompt textarea", "a cat")
    page.fill("#txt2img_seed input", "seven")
    page.click(GENERATE)
    expect(page.locator("#txt2img_error")).to_contain_text("Seed is no whole number: 'seven'")
    expect(page.locator("#txt2img_prompt")).not_to_have_class(re.compile("easel-wrong"))
    page.fill("#txt2img_seed input", "7")
    page.click(GENERATE)
    site.engine.open_for_good.set()
    expect(page.locator(PICTURE)).to_be_visible()
    expect(page.locator("#txt2img_error")).to_be_hidden()


def test_a_job_that_fails_says_so_and_the_next_one_runs(page: Page, site: Site) -> None:
    fill_small(page, "fail")
    page.click(GENERATE)
    site.engine.open_for_good.set()
    expect(page.locator("#txt2img_error")).to_contain_text("The picture is not finite.")
    fill_small(page, "a cat")
    page.keyboard.press("Control+Enter")
    expect(page.locator(PICTURE)).to_be_visible()


def test_jobs_sent_while_one_runs_wait_their_turn(page: Page, site: Site) -> None:
    fill_small(page, "first")
    page.click(GENERATE)
    expect(page.locator(WORDS)).to_be_visible()
    page.fill("#txt2img_prompt textarea", "second")
    page.click(GENERATE)
    expect(page.locator(WORDS)).to_contain_text("1 more job waits")
    site.engine.open_for_good.set()
    expect(page.locator(INFOTEXT)).to_contain_text("second")
    assert [job.request.prompt for job in site.server.jobs.history(None)] == ["second", "first"]


def test_a_double_click_is_one_job(page: Page, site: Site) -> None:
    fill_small(page)
    page.dblclick(GENERATE)
    expect(page.locator(WORDS)).to_be_visible()
    site.engine.open_for_good.set()
    expect(page.locator(PICTURE)).to_be_visible()
    assert len(site.server.jobs.history(None)) == 1


def test_text_of_prompts_is_shown_as_text(page: Page, site: Site) -> None:
    prompt = "<img src=x onerror=document.title='taken'> & <b>bold</b>"
    fill_small(page, prompt)
    page.click(GENERATE)
    site.engine.open_for_good.set()
    expect(page.locator(INFOTEXT)).to_contain_text(prompt)
    assert page.locator(f"{INFOTEXT} *").count() == 0


def test_the_lightbox_pages_through_the_pictures(page: Page, site: Site) -> None:
    fill_small(page, batch_count=2)
    page.fill("#txt2img_seed input", "5")
    page.click(GENERATE)
    site.engine.open_for_good.set()
    expect(page.locator("#txt2img_interrupt")).to_be_disabled()
    page.click(PICTURE)
    expect(page.locator("#lightboxModal p")).to_contain_text("Picture 2, seed 6")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lightboxModal p")).to_contain_text("Picture 1, seed 5")
    page.keyboard.press("Escape")
    expect(page.locator("#lightboxModal")).to_be_hidden()
    with page.expect_download() as download:
        page.click("#txt2img_download")
    assert download.value.suggested_filename == "00000-5.png"


def test_extra_seeds_are_sent_and_open_again(page: Page, site: Site) -> None:
    fill_small(page)
    page.get_by_role("button", name="Extra").click()
    expect(page.locator("#txt2img_subseed input")).to_have_value("-1")
    page.fill("#txt2img_subseed input", "99")
    strength = page.locator("#txt2img_subseed_strength input[type=number]")
    strength.fill("0.25")
    strength.blur()
    page.wait_for_function("JSON.parse(easel.memory()).values.variation_strength === 0.25")
    page.click(GENERATE)
    site.engine.open_for_good.set()
    expect(page.locator(INFOTEXT)).to_contain_text("Variation seed: 99, Variation seed strength: 0.25")
    page.reload()
    expect(page.locator("#txt2img_subseed input")).to_have_value("99")


def test_gradio_hands_out_no_files_of_this_machine(page: Page, site: Site) -> None:
    settings = site.server.folders.data / "config.json"
    settings.write_text("{}")
    for path in ("webui.py", "config.json", "app/web/page.py", "/etc/passwd", settings):
        assert page.request.get(f"{site.address}/gradio_api/file={path}").status in (403, 404)


def test_a_server_that_does_not_answer_is_said_and_sends_nothing_twice(page: Page, site: Site) -> None:
    fill_small(page)
    page.click(GENERATE)
    site.engine.open_for_good.set()
    expect(page.locator(PICTURE)).to_be_visible()
    page.route("**/*api/**", lambda route: route.abort())
    page.click(GENERATE)
    expect(page.locator("#txt2img_error")).to_contain_text("The server did not answer.")
    assert len(site.server.jobs.history(None)) == 1
    with page.expect_event("load"):  # Gradio loads the page again once it finds the server
        page.unroute("**/*api/**")
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a cat")
    expect(page.locator(INFOTEXT)).to_contain_text("a cat")
    page.fill("#txt2img_prompt textarea", "a second cat")
    page.click(GENERATE)
    expect(page.locator(INFOTEXT)).to_contain_text("a second cat")
    expect(page.locator("#txt2img_error")).to_be_hidden()


def test_those_who_want_no_previews_get_none(site: Site, new_context: Callable[..., BrowserContext]) -> None:
    site.server.settings.change({"live_previews_enable": False})
    page = opened(new_context().new_page(), site.address)
    fill_small(page)
    page.click(GENERATE)
    expect(page.locator(WORDS)).to_be_visible()
    site.engine.permits.release(2)
    expect(page.locator(WORDS)).to_contain_text("step 2 of 3")
    assert site.engine.watched == set()
    assert page.locator(PREVIEW).count() == 0
