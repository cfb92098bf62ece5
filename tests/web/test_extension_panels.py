"""Hires fix and the refiner on the page: their accordions, what is stored of them, the label, pasting, and Upscale."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Site, fill_small

pytestmark = pytest.mark.browser

GENERATE = "#txt2img_generate"
INFOTEXT = "#html_info_txt2img"
LABEL = "#txt2img_hr_label"


def opened_hires(page: Page) -> None:
    page.click("#txt2img_hr > button")
    page.check("#txt2img_hr-checkbox input")


def stored(site: Site) -> dict[str, dict[str, object]]:
    extensions: dict[str, dict[str, object]] = site.server.jobs.history(None, 1)[0].request.extensions
    return extensions


def generated(page: Page, site: Site) -> None:
    page.click(GENERATE)
    site.engine.permits.release(3)
    expect(page.locator(INFOTEXT)).to_contain_text("Steps: 3")


def test_hires_fix_is_asked_for_by_its_accordion_and_tells_its_size(page: Page, site: Site) -> None:
    fill_small(page, "a red house")
    opened_hires(page)
    expect(page.locator(LABEL)).to_have_text("from 64x64 to 128x128")
    page.fill("#txt2img_hr_scale input[type=number]", "1.5")
    page.fill("#txt2img_hires_prompt textarea", "a blue house")
    expect(page.locator(LABEL)).to_have_text("from 64x64 to 96x96")
    generated(page, site)
    expect(page.locator(INFOTEXT)).to_contain_text("Denoising strength: 0.7")
    expect(page.locator(INFOTEXT)).to_contain_text(
        "Hires prompt: a blue house, Hires upscale: 1.5, Hires upscaler: Latent"
    )
    assert stored(site)["hires_fix"]["upscale_by"] == 1.5
    assert "refiner" not in stored(site)


def test_what_is_off_is_not_asked_for(page: Page, site: Site) -> None:
    fill_small(page)
    generated(page, site)
    assert stored(site) == {}


def test_the_accordions_are_kept_over_a_reload(page: Page, site: Site) -> None:
    fill_small(page)
    opened_hires(page)
    page.fill("#txt2img_hires_steps input[type=number]", "7")
    expect(page.locator(LABEL)).to_have_text("from 64x64 to 128x128")
    page.reload()
    page.click("#txt2img_hr > button")
    expect(page.locator("#txt2img_hr-checkbox input")).to_be_checked()
    expect(page.locator("#txt2img_hires_steps input[type=number]")).to_have_value("7")


def test_upscale_runs_the_second_pass_alone_over_the_picture_shown(page: Page, site: Site) -> None:
    fill_small(page)
    page.fill("#txt2img_seed input", "77")
    generated(page, site)
    page.fill("#txt2img_seed input", "-1")
    page.click("#txt2img_upscale")
    site.engine.permits.release(3)
    expect(page.locator(INFOTEXT)).to_contain_text("Hires upscale: 2")
    request = site.server.jobs.history(None, 1)[0].request
    hires = request.extensions["hires_fix"]
    assert len(str(hires["first_picture"])) == 64
    assert (request.seed, request.width, request.height, request.image_count) == (77, 64, 64, 1)


def test_the_refiner_without_a_checkpoint_refines_nothing(page: Page, site: Site) -> None:
    fill_small(page)
    page.click("#txt2img_enable > button")
    page.check("#txt2img_enable-checkbox input")
    generated(page, site)
    assert stored(site)["refiner"]["checkpoint"] == ""
    assert site.server.jobs.history(None, 1)[0].resolved.passes == {}


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_the_refiners_menu_holds_the_checkpoints(page: Page, tab: str) -> None:
    page.click(f"#tab_{tab}-button")
    page.click(f"#{tab}_enable > button")
    page.click(f"#{tab}_checkpoint input")
    options = page.locator(f"#{tab}_checkpoint [role=option], ul[role=listbox] [role=option]")
    expect(options.filter(has_text="other.safetensors")).to_have_count(1)
    expect(options.first).to_contain_text("None")


def test_a_wrong_value_is_shown_at_its_widget(page: Page, site: Site) -> None:
    fill_small(page)
    opened_hires(page)
    page.fill("#txt2img_hires_prompt textarea", "(a:1.2.3)")
    page.click(GENERATE)
    expect(page.locator("#txt2img_error")).to_contain_text("1.2.3")
    expect(page.locator("#txt2img_hires_prompt.easel-wrong")).to_be_visible()


def test_a_pasted_infotext_fills_the_accordions_and_the_next_one_empties_them(page: Page, site: Site) -> None:
    fill_small(page)
    opened_hires(page)
    page.fill("#txt2img_hr_scale input[type=number]", "1.5")
    generated(page, site)
    said = page.locator(INFOTEXT).inner_text()
    page.uncheck("#txt2img_hr-checkbox input")
    page.fill("#txt2img_prompt textarea", said)
    page.click("#paste")
    expect(page.locator("#txt2img_hr-checkbox input")).to_be_checked()
    expect(page.locator("#txt2img_hr_scale input[type=number]")).to_have_value("1.5")
    page.fill("#txt2img_prompt textarea", "a cat\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64")
    page.click("#paste")
    expect(page.locator("#txt2img_hr-checkbox input")).not_to_be_checked()
