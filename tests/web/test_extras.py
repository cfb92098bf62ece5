"""The Extras tab in a browser: a picture from a gallery is made larger, read in PNG Info and sent on."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from app.files import encode
from tests.files.making import put_face_files
from tests.web.conftest import Site, fill_small, opened

pytestmark = pytest.mark.browser
TEXT = "a red house\nSteps: 7, Sampler: Euler a, CFG scale: 4.5, Seed: 99, Size: 16x16"


def png(colour: str = "red", width: int = 16) -> bytes:
    return encode(Image.new("RGB", (width, 16), colour), TEXT)


def chosen(page: Page, *files: bytes) -> None:
    payloads = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": data} for number, data in enumerate(files)]
    page.locator("#extras_file").set_input_files(payloads)  # type: ignore[arg-type]


def open_extras(page: Page) -> None:
    page.get_by_role("tab", name="Extras").click()
    expect(page.locator("#extras_upscaler_1 option")).to_have_text(["None", "Lanczos", "Nearest"])


def test_a_picture_is_made_larger_and_read_again(page: Page, site: Site) -> None:
    open_extras(page)
    chosen(page, png())
    page.select_option("#extras_upscaler_1", "Lanczos")
    page.fill("#extras_upscaling_resize", "2")
    page.click("#extras_generate")
    expect(page.locator("#extras_said")).to_have_text("1 picture saved.")
    expect(page.locator("#extras .easel-stage img")).to_have_js_property("naturalWidth", 32)
    expect(page.locator("#html_info_extras")).to_contain_text(
        "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"
    )
    page.get_by_role("button", name="Read in PNG Info").click()
    expect(page.locator("#pnginfo_html")).to_contain_text("a red house")
    expect(page.locator("#pnginfo_html")).to_contain_text("Postprocess upscaler: Lanczos")
    page.click("#pnginfo_send_to_extras")
    expect(page.locator("#extras_picture")).to_be_visible()
    page.get_by_role("tab", name="Scale to").click()
    page.fill("#extras_upscaling_resize_w", "24")
    page.fill("#extras_upscaling_resize_h", "8")
    page.click("#extras_generate")
    expect(page.locator("#extras .easel-stage img")).to_have_js_property("naturalWidth", 24)


def test_many_pictures_and_their_mirrored_copies(page: Page) -> None:
    open_extras(page)
    page.get_by_role("tab", name="Batch Process").click()
    chosen(page, png("red"), png("blue", 24))
    expect(page.locator("#extras_image .easel-empty")).to_have_text("2 pictures")
    page.get_by_text("Training pictures").click()
    page.get_by_label("Horizontal").check()
    page.click("#extras_generate")
    expect(page.locator("#extras_said")).to_have_text("4 pictures saved.")
    expect(page.locator("#extras .easel-thumbnails img")).to_have_count(4)
    page.locator("#extras .easel-thumbnails button").nth(2).click()
    expect(page.locator("#extras .easel-stage img")).to_have_js_property("naturalWidth", 24)


def test_what_cannot_be_done_is_said(page: Page) -> None:
    open_extras(page)
    page.click("#extras_generate")
    expect(page.locator("#extras_error")).to_have_text("Choose a picture first.")
    chosen(page, b"no picture")
    page.click("#extras_generate")
    expect(page.locator("#extras_error")).to_contain_text("0.png: The upload is not a picture that can be read.")
    page.get_by_role("tab", name="Batch from Directory").click()
    page.fill("#extras_batch_input_dir", "/etc")
    page.click("#extras_generate")
    expect(page.locator("#extras_error")).to_contain_text("Only the administrator of this server may do that.")
    expect(page.locator("#extras_faces")).to_contain_text("Put GFPGANv1.4.pth into")
    expect(page.locator("#extras_gfpgan_visibility")).to_be_disabled()


def test_faces_are_restored_as_far_as_the_slider_says(
    new_context: Callable[..., BrowserContext], site: Site, tmp_path: Path
) -> None:
    put_face_files(tmp_path)
    page = opened(new_context().new_page(), site.address)
    open_extras(page)
    expect(page.locator("#extras_faces")).to_be_hidden()
    chosen(page, png())
    page.fill("#extras_gfpgan_visibility", "0.25")
    expect(page.locator("output[for=extras_gfpgan_visibility]")).to_have_text("0.25")
    page.click("#extras_generate")
    expect(page.locator("#html_info_extras")).to_contain_text("GFPGAN visibility: 0.25")
    chosen(page, png("black"))
    page.click("#extras_generate")
    expect(page.locator("#html_info_extras")).to_contain_text("No face was found; the picture stays as it is.")


def test_from_the_gallery_to_extras_and_on_to_img2img(page: Page, site: Site) -> None:
    fill_small(page, steps=1)
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    page.locator("#txt2img_gallery .easel-stage button").wait_for()
    page.click("#txt2img_send_to_extras")
    expect(page.locator("#extras_picture")).to_be_visible()
    page.select_option("#extras_upscaler_1", "Nearest")
    page.fill("#extras_upscaling_resize", "2")
    page.click("#extras_generate")
    expect(page.locator("#extras .easel-stage img")).to_have_js_property("naturalWidth", 128)
    page.locator("#extras").get_by_role("button", name="Send to img2img").click()
    expect(page.get_by_role("tab", name="img2img", exact=True).first).to_have_attribute("aria-selected", "true")
    expect(page.locator("#img2img_source .easel-editor-place")).to_have_attribute("data-filled", "")


@pytest.mark.parametrize("width", [1440, 390])
def test_all_of_it_fits_the_page(new_context: Callable[..., BrowserContext], site: Site, width: int) -> None:
    page = opened(new_context(viewport={"width": width, "height": 1000}).new_page(), site.address)
    # As a gallery's button does; on a telephone the tab stands in Gradio's menu.
    file = "new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], 'a.png', { type: 'image/png' })"
    page.evaluate(f"(data) => easel.extras.send({file})", base64.b64encode(png()).decode())
    expect(page.locator("#extras_picture")).to_be_visible()
    page.select_option("#extras_upscaler_1", "Lanczos")
    page.click("#extras_generate")
    expect(page.locator("#extras_said")).to_have_text("1 picture saved.")
    page.get_by_text("Training pictures").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
