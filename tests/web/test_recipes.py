"""Recipes in a browser: pasted, dropped, read in PNG Info, sent to the form, and compared with it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import BrowserContext, Page, expect

from app.files import CHECKPOINT
from tests.web.conftest import Site, fill_small, opened, running

pytestmark = pytest.mark.browser

PROMPT = "#txt2img_prompt textarea"
NEGATIVE = "#txt2img_neg_prompt textarea"
LINE = "Steps: 7, Sampler: Euler a, Schedule type: Karras, CFG scale: 4.5, Seed: 99, Size: 64x72"
TEXT = f"a red house\nNegative prompt: blurry\n{LINE}, CFG rescale: 0.4, Clip skip: 2, RNG: CPU, Version: v1.10.1"


def png(text: str = TEXT) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", text)
    info.add_text("Title", "mine")
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG", pnginfo=info)
    return file.getvalue()


def number(page: Page, name: str) -> str:
    return page.locator(f"#txt2img_{name} input[type=number]").input_value()


def overrides(page: Page) -> list[str]:
    return page.locator("#txt2img_override_settings .token").all_inner_texts()


def expect_filled(page: Page) -> None:
    expect(page.locator(PROMPT)).to_have_value("a red house")
    expect(page.locator(NEGATIVE)).to_have_value("blurry")
    expect(page.locator("#txt2img_sampling input")).to_have_value("Euler a")
    expect(page.locator("#txt2img_scheduler input")).to_have_value("Karras")
    expect(page.locator("#txt2img_seed input")).to_have_value("99")
    assert [number(page, name) for name in ("steps", "cfg_scale", "width", "height")] == ["7", "4.5", "64", "72"]


def send_file(page: Page, selector: str, data: bytes, kind: str, event: str) -> None:
    """Drops or pastes a file as a person would, in the page's own events."""
    page.evaluate(
        """([selector, data, kind, event]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], kind === 'text/plain' ? 'a.txt' : 'a.png', { type: kind }));
            const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
            const made = event === 'paste' ? new ClipboardEvent(event, options) : new DragEvent(event, options);
            document.querySelector(selector).dispatchEvent(made);
        }""",
        [selector, base64.b64encode(data).decode(), kind, event],
    )


def test_a_text_in_the_prompt_fills_the_form(page: Page, site: Site) -> None:
    page.fill(PROMPT, TEXT)
    page.click("#paste")
    expect_filled(page)
    expect(page.locator("#txt2img_override_settings")).to_be_visible()
    expect(page.locator("#txt2img_override_settings")).to_contain_text("Clip skip: 2")
    page.wait_for_function("JSON.parse(easel.memory()).values.overrides.length === 1")
    opened(page, site.address)
    expect(page.locator("#txt2img_override_settings")).to_contain_text("Clip skip: 2")
    assert number(page, "cfg_rescale") == "0.4"
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("CFG rescale: 0.4")
    expect(page.locator("#html_info_txt2img")).to_contain_text("Clip skip: 2")
    request = site.server.jobs.history(None)[0].request
    assert request.cfg_rescale == 0.4
    assert (request.clip_skip, request.seed, request.schedule, request.noise_source) == (2, 99, "Karras", "CPU")


def test_an_empty_prompt_reads_the_last_generation_also_after_a_restart(
    page: Page, site: Site, new_context: Callable[..., BrowserContext]
) -> None:
    page.click("#paste")
    expect(page.locator("#txt2img_notices")).to_contain_text("no last generation")
    fill_small(page, "a lighthouse", steps=4, cfg_scale=5)
    page.fill("#txt2img_seed input", "77")
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("Seed: 77")
    site.stop_serving()
    with running(site.server, int(site.address.rpartition(":")[2])):
        opened(page, site.address)
        page.click("#txt2img_reset")
        expect(page.locator(PROMPT)).to_have_value("")
        expect(page.locator("#txt2img_seed input")).to_have_value("-1")
        page.click("#paste")
        expect(page.locator(PROMPT)).to_have_value("a lighthouse")
        expect(page.locator("#txt2img_seed input")).to_have_value("77")
        assert [number(page, name) for name in ("steps", "cfg_scale", "width")] == ["4", "5", "64"]


@pytest.mark.parametrize("event", ["drop", "paste"])
@pytest.mark.parametrize(("kind", "data"), [("image/png", png()), ("text/plain", TEXT.encode())])
def test_a_file_dropped_or_pasted_on_the_prompt_fills_the_form(page: Page, event: str, kind: str, data: bytes) -> None:
    page.fill(PROMPT, "something else")
    send_file(page, PROMPT, data, kind, event)
    expect_filled(page)


def test_a_picture_that_says_nothing_and_a_file_that_is_none(page: Page) -> None:
    page.fill(PROMPT, "kept")
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    send_file(page, PROMPT, plain.getvalue(), "image/png", "drop")
    expect(page.locator("#txt2img_notices")).to_contain_text("does not say how it was made")
    send_file(page, PROMPT, b"no picture", "image/png", "drop")
    expect(page.locator("#txt2img_error")).to_contain_text("not a picture that can be read")
    expect(page.locator(PROMPT)).to_have_value("kept")


def test_a_plain_prompt_is_left_as_it_is(page: Page) -> None:
    page.fill(PROMPT, "just a cat")
    page.fill(NEGATIVE, "dog")
    page.click("#paste")
    expect(page.locator("#txt2img_notices")).to_contain_text("No parameters")
    expect(page.locator(PROMPT)).to_have_value("just a cat")
    expect(page.locator(NEGATIVE)).to_have_value("dog")


def test_models_are_chosen_by_hash_and_told_where_they_are_missing(page: Page, site: Site) -> None:
    library = site.server.library
    sha256 = library.hash(library.find("other", CHECKPOINT))
    page.fill(PROMPT, f'{TEXT}, Model hash: {sha256[:10]}, Model: renamed, ControlNet 0: "Module: canny, Weight: 1"')
    page.click("#paste")
    expect(page.locator("#setting_sd_model_checkpoint input")).to_have_value(re.compile(r"^other\.safetensors"))
    expect(page.locator("#txt2img_notices")).to_contain_text("Read and not used: ControlNet 0")
    page.fill(PROMPT, f"{TEXT}, Model hash: 0123456789, Model: gone, VAE: lost.pt")
    page.click("#paste")
    expect(page.locator("#txt2img_notices")).to_contain_text("The checkpoint 'gone' [0123456789] is not here")
    expect(page.locator("#txt2img_notices")).to_contain_text("The VAE 'lost.pt' is not here")
    expect(page.locator("#setting_sd_model_checkpoint input")).to_have_value(re.compile(r"^other\.safetensors"))


def test_png_info_shows_all_and_sends_it_to_a_tab(page: Page) -> None:
    page.get_by_role("tab", name="PNG Info").click()
    page.set_input_files("#pnginfo_image input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
    expect(page.locator("#pnginfo_html")).to_contain_text(TEXT.splitlines()[2])
    expect(page.locator("#pnginfo_html")).to_contain_text("Title")
    assert page.locator("#pnginfo_picture").evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    page.get_by_text("One by one").click()
    expect(page.get_by_role("row", name="Clip skip 2")).to_be_visible()
    page.click("#pnginfo_send_to_txt2img")
    expect(page.locator(PROMPT)).to_be_visible()
    expect_filled(page)


def test_a_picture_pasted_in_png_info_is_shown_there(page: Page) -> None:
    page.get_by_role("tab", name="PNG Info").click()
    expect(page.locator("#pnginfo_image")).to_be_visible()
    send_file(page, "body", png(), "image/png", "paste")
    expect(page.locator("#pnginfo_html")).to_contain_text("a red house")
    send_file(page, "#pnginfo_image", b"broken", "image/png", "drop")
    expect(page.locator("#pnginfo_error")).to_contain_text("not a picture")
    expect(page.locator("#pnginfo_html")).to_be_empty()


def test_why_a_picture_comes_out_differently(page: Page, site: Site) -> None:
    fill_small(page, "a red house, at night", steps=7, cfg_scale=9)
    page.wait_for_function("JSON.parse(easel.memory()).values.cfg_scale === 9")
    page.get_by_role("tab", name="PNG Info").click()
    page.set_input_files("#pnginfo_image input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
    page.click("#pnginfo_compare")
    expect(page.locator("#pnginfo_why_words")).to_contain_text("things differ")
    table = page.locator("#pnginfo_differences")
    expect(table.get_by_role("row", name=re.compile("Clip skip 2 1"))).to_be_visible()
    expect(table.get_by_role("row", name=re.compile("Sampling method Euler a DPM"))).to_be_visible()
    expect(table.get_by_role("row", name=re.compile(r"Prompt .*at night"))).to_be_visible()
    expect(table).not_to_contain_text("Sampling steps")
    page.get_by_label("Take over CFG Scale").uncheck()
    page.click("#pnginfo_take")
    expect(page.locator(PROMPT)).to_have_value("a red house")
    expect(page.locator("#txt2img_seed input")).to_have_value("99")
    expect(page.locator("#txt2img_override_settings")).to_contain_text("Clip skip: 2")
    assert number(page, "cfg_scale") == "9"
    page.wait_for_function("JSON.parse(easel.memory()).values.seed === '99'")
    page.get_by_role("tab", name="PNG Info").click()
    page.click("#pnginfo_compare")
    expect(page.locator("#pnginfo_why_words")).to_contain_text("1 thing differs")
    expect(table.get_by_role("row", name=re.compile("CFG Scale 4.5 9"))).to_be_visible()


def test_a_picture_just_made_does_not_differ(page: Page, site: Site, tmp_path: Path) -> None:
    fill_small(page, "a boat")
    page.fill("#txt2img_seed input", "5")
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("Seed: 5")
    job = site.server.jobs.history(None)[0]
    page.get_by_role("tab", name="PNG Info").click()
    page.set_input_files("#pnginfo_image input[type=file]", site.server.jobs.image_file(job.id, 0))
    page.click("#pnginfo_compare")
    expect(page.locator("#pnginfo_why_words")).to_have_text("The form would make this very picture: nothing differs.")
