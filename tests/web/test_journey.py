"""One picture through the whole page: drawn, inpainted, made larger, read again, and drawn once more."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.jobs import Job
from tests.web.conftest import Site, opened
from tests.web.test_redrawing import NewContext, draw, fill_tab, layer, real_site

__all__ = ["real_site"]
pytestmark = pytest.mark.browser


def newest(site: Site) -> Job:
    return site.server.jobs.history(None, 1)[0]


def pixels(site: Site, job: Job) -> np.ndarray:
    return np.asarray(Image.open(site.server.jobs.image_file(job.id, 0)).convert("RGB"))


def generated(page: Page, site: Site, tab: str) -> Job:
    """The job of a click on Generate, once it is over and its picture is shown."""
    before = [job.id for job in site.server.jobs.history(None, 1)]
    page.click(f"#{tab}_generate")
    while [job.id for job in site.server.jobs.history(None, 1)] == before:
        page.wait_for_timeout(20)
    job = site.server.jobs.wait(newest(site).id, 600)
    assert job.state == "done"
    expect(page.locator(f"#html_info_{tab}")).to_contain_text("Seed: 77")
    return job


def test_the_journey_ends_with_the_picture_that_it_began_with(real_site: Site, new_context: NewContext) -> None:
    page = opened(new_context().new_page(), real_site.address)
    fill_tab(page, "txt2img", "a boat at sea")
    page.fill("#txt2img_seed input", "77")
    first = pixels(real_site, generated(page, real_site, "txt2img"))

    page.click("#txt2img_send_to_inpaint")
    page.wait_for_function("() => easel.sources.inpaint?.slot.image")
    expect(page.locator("#inpaint_seed input")).to_have_value("77")
    draw(page, "inpaint")
    assert len(layer(page, "inpaint")) == 64
    inpainted = generated(page, real_site, "inpaint")
    assert inpainted.request.mask is not None
    assert (pixels(real_site, inpainted) != first).any()

    page.click("#inpaint_send_to_extras")
    page.select_option("#extras_upscaler_1", "Lanczos")
    page.fill("#extras_upscaling_resize", "2")
    page.click("#extras_generate")
    expect(page.locator("#extras_said")).to_have_text("1 picture saved.")
    expect(page.locator("#extras .easel-stage img")).to_have_js_property("naturalWidth", 128)

    page.get_by_role("button", name="Read in PNG Info").click()
    expect(page.locator("#pnginfo_html")).to_contain_text("a boat at sea")
    expect(page.locator("#pnginfo_html")).to_contain_text("Postprocess upscaler: Lanczos")
    page.click("#pnginfo_send_to_txt2img")
    expect(page.locator("#txt2img_seed input")).to_have_value("77")
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("64")
    again = generated(page, real_site, "txt2img")
    assert again.request.init_images == ()
    assert (pixels(real_site, again) == first).all()
