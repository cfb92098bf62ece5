"""Tools around the prompts in a browser: styles, clearing, phrases by key, and generating forever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import app.web
from app.language import Style, read_styles
from tests.web.conftest import Site, fill_small, opened

pytestmark = pytest.mark.browser

PROMPT = "#txt2img_prompt textarea"
NEGATIVE = "#txt2img_neg_prompt textarea"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def phrases(new_context: Callable[..., BrowserContext]) -> Page:
    """An empty page that knows the functions of phrases.js."""
    page = new_context().new_page()
    page.add_script_tag(content="window.easel = {}")
    page.add_script_tag(path=Path(app.web.__file__).parent / "script" / "phrases.js")
    return page


@pytest.mark.parametrize(
    ("before", "right", "after"),
    [
        ("a, b|b, c", True, "a, c, |bb|"),
        ("a, b|b, c", False, "|bb|, a, c"),
        ("|a, b", False, None),
        ("a, b|", True, None),
        ("one two, (three, four:1.2)|, five", False, "|(three, four:1.2)|, one two, five"),
        ("one, (thr|ee, four:1.2), five", True, "one, five, |(three, four:1.2)|"),
        ("a, |b, c|, d", True, "a, d, |b, c|"),
        ("a,\nb|, c", False, "|b|,\na, c"),
        ("\\(a\\), b|", False, "|b|, \\(a\\)"),
        ("", True, None),
        ("a|", True, None),
    ],
)
def test_phrases_move_by_key(phrases: Page, before: str, right: bool, after: str | None) -> None:
    start = max(before.find("|"), 0)
    end = before.rfind("|") - (before.count("|") == 2)
    moved = phrases.evaluate(
        "([...a]) => easel.movedPhrase(...a)", [before.replace("|", ""), start, max(end, start), right]
    )
    if moved is not None:
        shown = moved["text"]
        shown = shown[: moved["end"]] + "|" + shown[moved["end"] :]
        moved = shown[: moved["start"]] + "|" + shown[moved["start"] :]
    assert moved == after


def test_alt_and_arrows_move_a_phrase_and_clearing_asks_first(page: Page) -> None:
    page.fill(PROMPT, "a house, red, snow")
    page.fill(NEGATIVE, "blurry")
    page.click(PROMPT)
    page.keyboard.press("Control+End")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator(PROMPT)).to_have_value("a house, snow, red")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator(PROMPT)).to_have_value("snow, a house, red")
    page.keyboard.press("Alt+ArrowRight")
    expect(page.locator(PROMPT)).to_have_value("a house, snow, red")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#txt2img_clear_prompt")
    expect(page.locator(PROMPT)).to_have_value("a house, snow, red")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#txt2img_clear_prompt")
    expect(page.locator(PROMPT)).to_have_value("")
    expect(page.locator(NEGATIVE)).to_have_value("")


def test_styles_are_made_chosen_applied_changed_and_deleted(page: Page, site: Site) -> None:
    file = site.server.folders.data / "styles.csv"
    page.fill(PROMPT, "a boat")
    page.fill(NEGATIVE, "blurry")
    expect(page.locator("#txt2img_styles")).to_be_hidden()
    page.click("#txt2img_styles_edit_button")
    page.fill("#txt2img_edit_style_name", "#oil")
    page.click("#txt2img_edit_style_save")
    expect(page.locator("#txt2img_edit_style_error")).to_contain_text("cannot be the name")
    page.fill("#txt2img_edit_style_name", "oil")
    page.fill("#txt2img_edit_style_prompt", "{prompt}, oil on canvas")
    page.fill("#txt2img_edit_style_neg_prompt", "photo")
    page.click("#txt2img_edit_style_save")
    expect(page.locator("#txt2img_edit_style_words")).to_contain_text("is saved")
    assert read_styles(file) == (Style("oil", "{prompt}, oil on canvas", "photo"),)
    page.click("#txt2img_edit_style_close")
    page.click("#txt2img_styles input")
    page.get_by_role("option", name="oil").click()
    page.keyboard.press("Escape")
    page.click("#txt2img_style_apply")
    expect(page.locator(PROMPT)).to_have_value("a boat, oil on canvas")
    expect(page.locator(NEGATIVE)).to_have_value("blurry, photo")
    page.wait_for_function("JSON.parse(easel.memory()).values.styles.length === 0")
    page.click("#txt2img_styles_edit_button")
    page.fill("#txt2img_edit_style_name", "oil")
    expect(page.locator("#txt2img_edit_style_neg_prompt")).to_have_value("photo")
    page.click("#txt2img_edit_style_copy")
    page.click("#txt2img_edit_style_save")
    expect(page.locator("#txt2img_edit_style_words")).to_contain_text("is saved")
    assert read_styles(file) == (Style("oil", "a boat, oil on canvas", "blurry, photo"),)
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#txt2img_edit_style_delete")
    expect(page.locator("#txt2img_edit_style_words")).to_contain_text("is deleted")
    assert read_styles(file) == ()
    assert len(read_styles(file.with_name("styles.csv.bak"))) == 1
    page.keyboard.press("Escape")
    expect(page.locator("#txt2img_styles")).to_be_hidden()


def test_pasting_finds_the_styles_in_a_prompt(page: Page, site: Site) -> None:
    site.server.styles.save(Style("oil", "{prompt}, oil on canvas", "photo"))
    opened(page, site.address)
    line = "Steps: 7, Sampler: Euler a, CFG scale: 4.5, Seed: 9, Size: 64x64"
    page.fill(PROMPT, f"a boat, oil on canvas\nNegative prompt: photo\n{line}")
    page.click("#paste")
    expect(page.locator(PROMPT)).to_have_value("a boat")
    expect(page.locator("#txt2img_styles")).to_contain_text("oil")
    expect(page.locator(NEGATIVE)).to_have_value("")


def test_generating_forever_goes_on_until_it_is_stopped(page: Page, site: Site) -> None:
    fill_small(page)
    page.click("#txt2img_generate", button="right")
    page.get_by_role("menuitem", name="Generate forever", exact=True).click()
    expect(page.locator("#txt2img_forever")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#txt2img_interrupt")).to_be_enabled()
    site.engine.open_for_good.set()
    page.wait_for_function("fetch('api/jobs').then((a) => a.json()).then(({ jobs }) => jobs.length >= 3)")
    page.click("#txt2img_forever")
    expect(page.locator("#txt2img_forever")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#txt2img_interrupt")).to_be_disabled()
    assert not page.evaluate("easel.foreverOf('txt2img').on()")


def test_what_fails_is_not_tried_for_ever(page: Page, site: Site) -> None:
    fill_small(page, "fail")
    page.click("#txt2img_forever")
    site.engine.open_for_good.set()
    expect(page.locator("#txt2img_error")).to_be_visible()
    expect(page.locator("#txt2img_forever")).to_have_attribute("aria-pressed", "false")
    assert len(site.server.jobs.history(None)) == 1


def test_a_telephone_reaches_all_tools(site: Site, new_context: Callable[..., BrowserContext]) -> None:
    page = opened(new_context(**PHONE).new_page(), site.address)
    for name in ("paste", "txt2img_clear_prompt", "txt2img_style_apply", "txt2img_styles_edit_button"):
        box = page.locator(f"#{name}").bounding_box()
        assert box is not None
        assert (box["width"] >= 40, box["height"] >= 40, box["x"] + box["width"] <= 390) == (True, True, True)
    page.locator("#tabs").get_by_label("More tabs").first.tap()
    page.locator("#tabs .overflow-dropdown").get_by_text("PNG Info", exact=True).tap()
    expect(page.locator("#pnginfo_image")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("tab", name="txt2img").tap()
    page.tap("#txt2img_styles_edit_button")
    box = page.locator("#txt2img_edit_style").bounding_box()
    assert box is not None
    assert box["width"] <= 390
