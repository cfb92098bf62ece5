"""The form in a browser: kept there alone, usable by keys and on a telephone, asking no one else."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from app.web import mount_page
from tests.api.serving import SHAPES, build_server
from tests.files.making import write_safetensors
from tests.jobs.fake_engine import FakeEngine
from tests.web.conftest import Site, fill_small, opened, running

pytestmark = pytest.mark.browser

NewContext = Callable[..., BrowserContext]
PROMPT = "#txt2img_prompt textarea"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def number(page: Page, name: str) -> str:
    return page.locator(f"#txt2img_{name} input[type=number]").input_value()


def kept(page: Page) -> dict[str, object]:
    values = json.loads(page.evaluate("easel.memory()"))["values"]
    assert isinstance(values, dict)
    return values


def test_the_form_is_kept_in_its_browser_and_can_be_reset(page: Page, site: Site) -> None:
    fill_small(page, "a boat", steps=33)
    page.click("#txt2img_sampling input")
    page.get_by_role("option", name="Euler a", exact=True).click()
    page.wait_for_function("JSON.parse(easel.memory()).values.sampler === 'Euler a'")
    opened(page, site.address)
    expect(page.locator(PROMPT)).to_have_value("a boat")
    expect(page.locator("#txt2img_sampling input")).to_have_value("Euler a")
    assert number(page, "steps") == "33"
    page.click("#txt2img_reset")
    expect(page.locator(PROMPT)).to_have_value("")
    expect(page.locator("#txt2img_sampling input")).to_have_value("DPM++ 2M")
    assert (number(page, "steps"), number(page, "width")) == ("20", "512")


class HeldBack:
    """The page opened anew, the server's answers to it held back: the form is still as it came."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.holding = page, True
        self.routes: list[Route] = []
        page.route("**/gradio_api/run/**", self.hear)
        page.goto(site.address)
        page.locator("#txt2img_results").wait_for(state="attached")
        expect(page.locator(PROMPT)).to_have_value("")

    def hear(self, route: Route) -> None:
        if self.holding:
            self.routes.append(route)
        else:
            route.continue_()

    def let_go(self) -> None:
        self.holding = False
        for route in self.routes:
            route.continue_()
        self.page.locator("html[data-form=filled]").wait_for()


def test_what_is_touched_before_the_kept_form_comes_is_spared_by_it(page: Page, site: Site) -> None:
    fill_small(page, "a boat", steps=33)
    page.fill("#txt2img_neg_prompt textarea", "fog")
    page.fill("#txt2img_seed input", "5")
    page.wait_for_function("JSON.parse(easel.memory()).values.seed === '5'")
    held = HeldBack(page, site)
    page.fill(PROMPT, "a tree")
    page.fill("#txt2img_neg_prompt textarea", "rain")
    page.fill("#txt2img_neg_prompt textarea", "")
    page.click("#txt2img_res_switch_btn")
    page.locator("#txt2img_height input[type=number]").fill("128")
    held.let_go()
    expect(page.locator("#txt2img_seed input")).to_have_value("5")
    expect(page.locator(PROMPT)).to_have_value("a tree")
    expect(page.locator("#txt2img_neg_prompt textarea")).to_have_value("")
    assert (number(page, "steps"), number(page, "width"), number(page, "height")) == ("33", "64", "128")
    page.wait_for_function("JSON.parse(easel.memory()).values.prompt === 'a tree'")
    assert [kept(page)[name] for name in ("negative_prompt", "steps", "seed", "height")] == ["", 33, "5", 128]


def test_generate_pressed_before_the_kept_form_comes_draws_what_was_typed_with_what_was_kept(
    page: Page, site: Site
) -> None:
    fill_small(page, "a boat", steps=3)
    page.wait_for_function("JSON.parse(easel.memory()).values.height === 64")
    held = HeldBack(page, site)
    page.fill(PROMPT, "a tree")
    page.click("#txt2img_generate")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#txt2img_generate")).to_have_attribute("aria-busy", "true")
    held.let_go()
    expect(page.locator("#txt2img_progress_words")).to_be_visible()
    (job,) = site.server.jobs.history(None)
    assert (job.request.prompt, job.request.steps, job.request.width) == ("a tree", 3, 64)
    expect(page.locator(PROMPT)).to_have_value("a tree")
    site.engine.open_for_good.set()


def test_two_browsers_see_neither_form_nor_jobs_of_each_other(page: Page, site: Site, new_context: NewContext) -> None:
    other = opened(new_context().new_page(), site.address)
    fill_small(page, "mine")
    fill_small(other, "theirs")
    page.click("#txt2img_generate")
    expect(page.locator("#txt2img_progress_words")).to_be_visible()
    opened(other, site.address)
    expect(other.locator(PROMPT)).to_have_value("theirs")
    expect(other.locator("#txt2img_progress_words")).to_be_hidden()
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("mine")
    picture = page.locator("#txt2img_download").get_attribute("href")
    assert page.request.get(f"{site.address}/{picture}").status == 200
    assert other.request.get(f"{site.address}/{picture}").status == 404
    opened(page, site.address)
    expect(page.locator(PROMPT)).to_have_value("mine")


def test_sizes_follow_the_checkpoint_until_they_are_changed(page: Page, site: Site) -> None:
    folder = site.server.folders.checkpoints[0]
    write_safetensors(folder / "small.safetensors", SHAPES, metadata={"modelspec.resolution": "128x96"})
    (folder / "torn.safetensors").write_bytes(b"torn")
    page.click("#refresh_sd_model_checkpoint")
    page.click("#setting_sd_model_checkpoint input")
    expect(page.get_by_role("option", name="torn.safetensors – cannot be used")).to_be_visible()
    page.get_by_role("option", name="small.safetensors").click()
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("128")
    assert number(page, "height") == "96"
    page.locator("#txt2img_height input[type=number]").fill("200")
    page.locator("#txt2img_height input[type=number]").blur()
    expect(page.locator("#txt2img_height input[type=number]")).to_have_value("200")
    page.wait_for_function("JSON.parse(easel.memory()).values.height === 200")
    page.click("#setting_sd_model_checkpoint input")
    page.get_by_role("option", name="other.safetensors").click()
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("512")
    assert number(page, "height") == "200"


def test_a_choice_of_checkpoint_is_asked_about_once(page: Page, site: Site) -> None:
    """Gradio tells of a menu's choice twice; a second answer, come late, would take back what was typed meanwhile."""
    folder = site.server.folders.checkpoints[0]
    write_safetensors(folder / "small.safetensors", SHAPES, metadata={"modelspec.resolution": "128x96"})
    page.click("#refresh_sd_model_checkpoint")
    asked: list[Route] = []

    def pass_one(route: Route) -> None:
        about = "small.safetensors" in (route.request.post_data or "")
        if about:
            asked.append(route)
        if not about or len(asked) == 1:
            route.continue_()

    page.route("**/gradio_api/run/**", pass_one)
    page.click("#setting_sd_model_checkpoint input")
    page.get_by_role("option", name="small.safetensors").click()
    expect(page.locator("#txt2img_height input[type=number]")).to_have_value("96")
    page.locator("#txt2img_height input[type=number]").fill("200")
    page.wait_for_function("JSON.parse(easel.memory()).values.height === 200")
    late = len(asked)
    for route in asked[1:]:
        route.continue_()
    assert late == 1


def test_seed_and_size_buttons(page: Page, site: Site) -> None:
    fill_small(page, height=96)
    page.click("#txt2img_res_switch_btn")
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("96")
    assert number(page, "height") == "64"
    page.fill("#txt2img_seed input", str(2**64 - 1))
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text(f"Seed: {2**64 - 1}")
    page.click("#txt2img_random_seed")
    expect(page.locator("#txt2img_seed input")).to_have_value("-1")
    page.click("#txt2img_reuse_seed")
    expect(page.locator("#txt2img_seed input")).to_have_value(str(2**64 - 1))


def test_keys_generate_weigh_words_and_interrupt(page: Page, site: Site) -> None:
    fill_small(page, "a red house", steps=20)
    page.click(PROMPT)
    page.keyboard.press("Control+End")
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+ArrowUp")
    expect(page.locator(PROMPT)).to_have_value("a red (house:1.2)")
    page.keyboard.press("Control+ArrowDown")
    page.keyboard.press("Control+ArrowDown")
    expect(page.locator(PROMPT)).to_have_value("a red house")
    expect(page.locator("#txt2img_token_counter")).to_have_text("3/75")
    page.keyboard.press("Control+Enter")
    site.engine.permits.release(1)
    expect(page.locator("#txt2img_progress_words")).to_contain_text("step 1 of 20")
    page.keyboard.press("Escape")
    site.engine.permits.release(2)
    expect(page.locator("#txt2img_interrupt")).to_be_disabled()
    assert site.server.jobs.history(None)[0].images[0].partial


@pytest.mark.parametrize(
    ("before", "up", "after"),
    [
        ("a |cat| here", True, "a (|cat|:1.1) here"),
        ("a c|at here", False, "a (|cat|:0.9) here"),
        ("a (c|at:1.1) here", False, "a |cat| here"),
        ("a ((c|at)) here", True, "a (|cat|:1.3) here"),
        ("a [c|at] here", True, "a |cat| here"),
        ("a |red cat| here", True, "a (|red cat|:1.1) here"),
        ("<lora:pixel|:1>", True, "<|lora:pixel|:1.05>"),
        ("<lora:pix|el:0.55>", False, "<|lora:pixel|:0.5>"),
        ("a, | ,b", True, None),
    ],
)
def test_weights_by_key(browser_script: Page, before: str, up: bool, after: str | None) -> None:
    start = before.index("|")
    end = before.rindex("|") - (before.count("|") == 2)
    text = before.replace("|", "")
    changed = browser_script.evaluate("([...a]) => easel.changedWeight(...a)", [text, start, end, up])
    if changed is not None:
        shown = changed["text"]
        shown = shown[: changed["end"]] + "|" + shown[changed["end"] :]
        changed = shown[: changed["start"]] + "|" + shown[changed["start"] :]
    assert changed == after


def test_a_cut_connection_is_taken_up_where_it_was(page: Page, site: Site) -> None:
    fill_small(page, batch_count=2)
    page.click("#txt2img_generate")
    site.engine.permits.release(4)
    expect(page.locator("#txt2img_progress_words")).to_contain_text("picture 2 of 2, step 1")
    site.stop_serving()
    expect(page.locator("#txt2img_progress_words")).to_contain_text("the connection is lost")
    site.engine.permits.release(1)
    with running(site.server, int(site.address.rpartition(":")[2])):
        expect(page.locator("#txt2img_progress_words")).to_contain_text("picture 2 of 2, step 2")
        site.engine.permits.release(1)
        expect(page.locator(".easel-thumbnails img")).to_have_count(2)
        expect(page.locator("#txt2img_interrupt")).to_be_disabled()


def test_a_telephone_shows_one_column_and_generate_in_reach(site: Site, new_context: NewContext) -> None:
    page = opened(new_context(**PHONE).new_page(), site.address)
    fill_small(page, "word " * 200)
    page.tap("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("Steps: 3")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for place in (0, 700, 5000):
        page.evaluate(f"scrollTo(0, {place})")
        box = page.locator("#txt2img_generate").bounding_box()
        assert box is not None
        assert (box["y"] >= 0, box["y"] + box["height"] <= 844, box["height"] >= 44) == (True, True, True)
    left = {page.locator(f"#txt2img_{name}").evaluate("e => e.getBoundingClientRect().x") for name in ("steps", "seed")}
    assert len(left) == 1


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_words_can_be_told_from_their_ground(site: Site, new_context: NewContext, colours: str) -> None:
    page = opened(new_context(color_scheme=colours).new_page(), site.address)
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == (colours == "dark")
    ratio = page.evaluate(CONTRAST, "#txt2img_generate")
    assert ratio >= 4.5, f"Generate's words have a contrast of {ratio:.1f}"
    assert page.evaluate(CONTRAST, "#txt2img_interrupt") >= 4.5


CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => rgb(colour).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const style = getComputedStyle(document.querySelector(selector));
  const [one, other] = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
  return (one + 0.05) / (other + 0.05);
}"""


def test_every_control_has_a_name(page: Page) -> None:
    nameless = page.evaluate("""() => [...document.querySelectorAll('input, textarea, button, select')]
        .filter((e) => e.offsetParent && !(e.labels?.length && [...e.labels].some((l) => l.innerText.trim()))
            && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby') && !e.innerText.trim() && !e.title)
        .map((e) => e.outerHTML.slice(0, 200))""")
    assert nameless == []


def test_the_page_asks_no_other_machine(site: Site, new_context: NewContext) -> None:
    page = new_context().new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    opened(page, site.address)
    fill_small(page)
    page.click("#txt2img_generate")
    expect(page.locator("#txt2img_progress_words")).to_be_visible()
    assert {url for url in asked if not url.startswith((site.address, "data:", "blob:"))} == set()
    assert problems == []


def test_png_info_shows_how_a_picture_was_made(page: Page, site: Site) -> None:
    fill_small(page, "a lighthouse")
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("a lighthouse")
    job = site.server.jobs.history(None)[0]
    page.get_by_role("tab", name="PNG Info").click()
    page.set_input_files("#pnginfo_image input[type=file]", site.server.jobs.image_file(job.id, 0))
    expect(page.locator("#pnginfo_html")).to_contain_text("a lighthouse\nSteps: 3")
    page.get_by_role("tab", name="txt2img").click()
    expect(page.locator("#html_info_txt2img")).to_contain_text("a lighthouse")


def test_the_server_may_choose_the_colours(tmp_path: Path, new_context: NewContext) -> None:
    server = build_server(tmp_path, FakeEngine)
    mount_page(
        server.app,
        jobs=server.jobs,
        library=server.library,
        settings=server.settings,
        resolver=server.resolver,
        styles=server.styles,
        theme="dark",
    )
    with closing(server), running(server) as address:
        page = opened(new_context(color_scheme="light").new_page(), address)
        dark = page.evaluate("document.body.classList.contains('dark')")
        page.close()
        assert dark


def test_without_a_usable_checkpoint_the_page_says_what_to_do(site: Site, new_context: NewContext) -> None:
    for file in site.server.folders.checkpoints[0].iterdir():
        file.unlink()
    page = new_context().new_page()
    page.goto(site.address)
    page.locator("html[data-form=filled]").wait_for()
    page.click("#txt2img_generate")
    expect(page.locator("#txt2img_error")).to_contain_text(
        "There is no checkpoint to draw with. Put a .safetensors file"
    )
