"""img2img and Inpaint in a browser: pictures sent once, masks drawn by mouse and finger, all of it found again."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, PngImagePlugin
from playwright.sync_api import BrowserContext, Page, expect

from app.access import Access
from app.extension_host import ExtensionHost
from app.files import Blobs, Folders
from app.hooks import Registry
from app.launch.engine import make_engine
from app.schema.flags import LaunchOptions
from app.web import mount_page
from tests.api.serving import build_server
from tests.models.checkpoints import write_tiny_checkpoint
from tests.web.conftest import Site, opened, running

pytestmark = pytest.mark.browser

NewContext = Callable[..., BrowserContext]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def picture(width: int = 96, height: int = 64, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def open_tab(page: Page, tab: str) -> None:
    page.get_by_role("tab", name="Inpaint" if tab == "inpaint" else tab, exact=True).first.click()
    page.wait_for_function("tab => easel.sources[tab]", arg=tab)


def choose_picture(page: Page, tab: str, data: bytes) -> None:
    page.set_input_files(f"#{tab}_file", {"name": "scene.png", "mimeType": "image/png", "buffer": data})
    page.wait_for_function("tab => easel.sources[tab].slot.image", arg=tab)


def fill_tab(page: Page, tab: str, prompt: str = "a boat", **numbers: int) -> None:
    page.fill(f"#{tab}_prompt textarea", prompt)
    for name, value in {"steps": 2, "width": 64, "height": 64, **numbers}.items():
        box = page.locator(f"#{tab}_{name} input[type=number]")
        box.fill(str(value))
        box.blur()


def middle(page: Page, tab: str) -> tuple[float, float]:
    page.locator(f"#{tab}_canvas").scroll_into_view_if_needed()
    box = page.locator(f"#{tab}_canvas").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def draw(page: Page, tab: str, right: float = 30) -> None:
    x, y = middle(page, tab)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + 5, steps=4)
    page.mouse.up()


def layer(page: Page, tab: str) -> str:
    """The hash under which this browser keeps the paint, once it is kept."""
    slot = "slots[JSON.parse(localStorage[`easel.${tab}.source`]).mode]"
    page.wait_for_function(f"tab => JSON.parse(localStorage[`easel.${{tab}}.source`]).{slot}?.layer", arg=tab)
    found: str = page.evaluate(f"tab => JSON.parse(localStorage[`easel.${{tab}}.source`]).{slot}.layer", tab)
    return found


def paint(page: Page, tab: str) -> int:
    """Painted pixels."""
    count: int = page.evaluate(
        """tab => {
            const { context, canvas } = easel.sources[tab].slot.painter;
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((level, at) => at % 4 === 3 && level > 128).length;
        }""",
        tab,
    )
    return count


def stored(page: Page, site: Site, digest: str) -> Image.Image:
    answer = page.request.get(f"{site.address}/api/pictures/{digest}")
    assert answer.status == 200
    return Image.open(io.BytesIO(answer.body()))


def newest(site: Site) -> Any:
    return site.server.jobs.history(None)[0].request


@pytest.fixture
def real_site(tmp_path: Path) -> Iterator[Site]:
    """Draws with the real engine and a tiny model of random weights."""
    checkpoints = tmp_path / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True)
    write_tiny_checkpoint(checkpoints / "formula.safetensors", "SD1")

    pictures = Blobs(Folders.of(data_dir=tmp_path, program_dir=tmp_path / "program").state / "pictures")

    def engine(before_group: Any) -> Any:
        return make_engine(LaunchOptions(device="cpu"), ExtensionHost((), Registry()), pictures, before_group)

    server = build_server(tmp_path, engine, Access())
    mount_page(
        server.app,
        jobs=server.jobs,
        library=server.library,
        settings=server.settings,
        resolver=server.resolver,
        styles=server.styles,
    )
    with running(server) as address:
        yield Site(server, address, [], lambda: None)
    server.close()


def test_what_the_mouse_masked_is_redrawn_and_all_else_stays_to_the_byte(
    real_site: Site, new_context: NewContext
) -> None:
    page = opened(new_context().new_page(), real_site.address)
    open_tab(page, "inpaint")
    page.click("#inpaint_generate")
    expect(page.locator("#inpaint_error")).to_contain_text("There is no picture to redraw yet.")
    choose_picture(page, "inpaint", picture())
    page.click("#inpaint_detect_image_size_btn")
    fill_tab(page, "inpaint", width=96)
    page.click("#inpaint_generate")
    expect(page.locator("#inpaint_error")).to_contain_text("Nothing is masked yet")
    draw(page, "inpaint")
    page.click("#inpaint_generate")
    expect(page.locator("#html_info_inpaint")).to_contain_text("Denoising strength: 0.75", timeout=120_000)
    href = page.locator("#inpaint_download").get_attribute("href")
    result = np.asarray(Image.open(io.BytesIO(page.request.get(f"{real_site.address}/{href}").body())).convert("RGB"))
    before = np.asarray(Image.open(io.BytesIO(picture())).convert("RGB"))
    mask = np.asarray(stored(page, real_site, newest(real_site).mask).getchannel("A")) > 128
    changed = (result != before).any(axis=-1)
    reach = np.asarray(Image.fromarray(mask).convert("L").resize((96, 64)).filter(ImageFilter.MaxFilter(25))) > 0
    assert 20 < mask.sum() < 1500
    assert changed[mask].mean() > 0.9
    assert not changed[~reach].any()
    assert (~reach).sum() > 2000


def test_a_reload_keeps_picture_mask_and_settings_and_another_browser_has_none(
    page: Page, site: Site, new_context: NewContext
) -> None:
    open_tab(page, "inpaint")
    choose_picture(page, "inpaint", picture())
    fill_tab(page, "inpaint", "a red boat", steps=7)
    page.get_by_label("Only masked", exact=True).click()
    draw(page, "inpaint")
    digest, pixels = layer(page, "inpaint"), paint(page, "inpaint")
    page.wait_for_function("JSON.parse(easel.memory('inpaint')).values.inpaint_area === 'Only masked'")
    opened(page, site.address)
    open_tab(page, "inpaint")
    page.wait_for_function("easel.sources.inpaint.slot.painter?.start")
    assert (layer(page, "inpaint"), paint(page, "inpaint")) == (digest, pixels)
    expect(page.locator("#inpaint_prompt textarea")).to_have_value("a red boat")
    page.click("#inpaint_generate")
    page.wait_for_function("easel.watchOf('inpaint').running()")
    request = newest(site)
    assert (request.mask, request.steps, request.inpaint_area) == (digest, 7, "Only masked")
    assert stored(page, site, request.init_images[0]).size == (96, 64)
    other = opened(new_context().new_page(), site.address)
    open_tab(other, "inpaint")
    assert other.evaluate("easel.sources.inpaint.slot.picture") is None
    expect(other.locator("#inpaint_progress")).to_be_hidden()


def test_fingers_paint_zoom_and_move_on_a_telephone(site: Site, new_context: NewContext) -> None:
    context = new_context(**PHONE)
    page = opened(context.new_page(), site.address)
    open_tab(page, "inpaint")
    choose_picture(page, "inpaint", picture())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    touch = context.new_cdp_session(page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    x, y = middle(page, "inpaint")
    top = page.evaluate("scrollY")
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 20, y + 10))
    fingers("touchEnd")
    layer(page, "inpaint")
    painted = paint(page, "inpaint")
    assert painted > 20
    scale = page.evaluate("easel.sources.inpaint.editor.view.scale")
    fingers("touchStart", (x - 20, y))
    fingers("touchStart", (x - 20, y), (x + 20, y))
    fingers("touchMove", (x - 60, y), (x + 60, y))
    fingers("touchEnd")
    assert page.evaluate("easel.sources.inpaint.editor.view.scale") == pytest.approx(3 * scale, rel=0.01)
    assert (paint(page, "inpaint"), page.evaluate("scrollY")) == (painted, top)


def test_undo_redo_clear_and_invert_go_step_by_step(page: Page) -> None:
    open_tab(page, "inpaint")
    choose_picture(page, "inpaint", picture())
    draw(page, "inpaint")
    one = paint(page, "inpaint")
    draw(page, "inpaint", right=-60)
    two = paint(page, "inpaint")
    assert two > one > 0

    def act(name: str) -> int:
        page.click(f"#inpaint_source [data-act={name}]")
        return paint(page, "inpaint")

    assert [act("undo"), act("undo"), act("redo"), act("redo")] == [one, 0, one, two]
    inverted = act("invert")
    assert inverted == pytest.approx(96 * 64 - two, abs=200)
    assert [act("clear"), act("undo"), act("undo")] == [0, inverted, two]
    page.keyboard.press("Control+z")
    assert paint(page, "inpaint") == one
    page.click("#inpaint_source [data-tool=eraser]")
    draw(page, "inpaint")
    assert paint(page, "inpaint") == 0


def test_modes_keep_their_paint_and_send_what_they_show(page: Page, site: Site) -> None:
    open_tab(page, "img2img")
    page.click("#img2img_mode_inpaint_sketch")
    choose_picture(page, "img2img", picture())
    fill_tab(page, "img2img", mask_blur=0)
    draw(page, "img2img")
    layer(page, "img2img")
    painted = paint(page, "img2img")
    page.click("#img2img_source [data-copy=inpaint_upload]")
    page.wait_for_function("easel.sources.img2img.slots.inpaint_upload.image")
    expect(page.locator("#img2img_inpaint_controls")).to_be_visible()
    page.set_input_files(
        "#img2img_source .easel-mask-file",
        {"name": "mask.png", "mimeType": "image/png", "buffer": _grey(96, 64, 77)},
    )
    digest = layer(page, "img2img")
    assert stored(page, site, digest).convert("L").getextrema() == (77, 77)
    page.click("#img2img_mode_img2img")
    expect(page.locator("#img2img_inpaint_controls")).to_be_hidden()
    page.click("#img2img_mode_inpaint_sketch")
    assert paint(page, "img2img") == painted
    page.click("#img2img_generate")
    page.wait_for_function("easel.watchOf('img2img').running()")
    request = newest(site)
    sketch, mask = stored(page, site, request.init_images[0]), stored(page, site, request.mask)
    inside = np.asarray(mask.getchannel("A")) == 255
    painted_colours = np.asarray(sketch.convert("RGB"))[inside].astype(int)
    assert inside.sum() > 10
    assert np.abs(painted_colours - (0xD0, 0x30, 0x20)).max() <= 2
    untouched = np.asarray(mask.getchannel("A")) == 0
    before = np.asarray(Image.open(io.BytesIO(picture())))
    assert (np.asarray(sketch.convert("RGB"))[untouched] == before[untouched]).all()


def test_an_inpaint_sketch_goes_over_into_its_picture_as_far_as_the_mask_is_blurred(page: Page, site: Site) -> None:
    open_tab(page, "img2img")
    page.click("#img2img_mode_inpaint_sketch")
    file = io.BytesIO()
    Image.new("RGB", (96, 64), "white").save(file, "PNG")
    choose_picture(page, "img2img", file.getvalue())
    fill_tab(page, "img2img", mask_blur=6)
    draw(page, "img2img", 60)
    layer(page, "img2img")
    page.click("#img2img_generate")
    page.wait_for_function("easel.watchOf('img2img').running()")
    request = newest(site)
    green = np.asarray(stored(page, site, request.init_images[0]).convert("RGB"))[..., 1].astype(float)
    touched = np.asarray(stored(page, site, request.mask).getchannel("A")) > 0
    over, share = np.where(touched, 0x30, 255).astype(np.uint8), (touched * 255).astype(np.uint8)
    blur = ImageFilter.GaussianBlur(6)
    painted, mask = (np.asarray(Image.fromarray(one).filter(blur)) for one in (over, share))
    wanted = 255 + (painted - 255.0) * (mask / 255)
    assert np.abs(green - wanted).max() <= 14
    assert (green[~touched] < 254).any()


def _grey(width: int, height: int, level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), level).save(file, "PNG")
    return file.getvalue()


def test_a_picture_goes_from_the_gallery_to_inpaint_with_its_recipe_and_size(page: Page, site: Site) -> None:
    page.fill("#txt2img_prompt textarea", "a green hill")
    for name, value in {"steps": 2, "width": 128, "height": 64}.items():
        page.locator(f"#txt2img_{name} input[type=number]").fill(str(value))
        page.locator(f"#txt2img_{name} input[type=number]").blur()
    page.fill("#txt2img_seed input", "11")
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#html_info_txt2img")).to_contain_text("Seed: 11")
    page.click("#txt2img_send_to_inpaint")
    expect(page.locator("#inpaint_prompt textarea")).to_have_value("a green hill")
    expect(page.locator("#inpaint_seed input")).to_have_value("11")
    expect(page.locator("#inpaint_width input[type=number]")).to_have_value("128")
    expect(page.locator("#inpaint_height input[type=number]")).to_have_value("64")
    expect(page.locator("#inpaint_scale_resolution_preview")).to_have_text("from 128x64 to 128x64")
    page.check("#inpaint_resize input[value=by]")
    page.fill("#inpaint_scale", "1.5")
    expect(page.locator("#inpaint_scale_resolution_preview")).to_have_text("from 128x64 to 192x96")
    draw(page, "inpaint")
    page.click("#inpaint_generate")
    expect(page.locator("#html_info_inpaint")).to_contain_text(re.compile("Size: 192x96"))
    kept = json.loads(page.evaluate("localStorage['easel.inpaint.source']"))
    assert newest(site).init_images == (kept["slots"]["inpaint"]["picture"]["hash"],)


def test_a_batch_gives_each_file_back_under_its_name(page: Page, site: Site) -> None:
    open_tab(page, "img2img")
    fill_tab(page, "img2img")
    page.click("#img2img_mode_batch")
    files = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": picture(seed=at)}
        for at, name in enumerate(("a b", "c"))
    ]
    page.set_input_files("#img2img_batch [data-files=pictures] >> nth=0", files)  # type: ignore[arg-type]
    masks = [{"name": "c.png", "mimeType": "image/png", "buffer": _grey(96, 64, 255)}]
    page.set_input_files("#img2img_batch [data-files=masks]", [*masks, {**masks[0], "name": "other.png"}])  # type: ignore[arg-type]
    page.fill("#img2img_batch .easel-batch-folder", "trip")
    page.click("#img2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator(".easel-batch-words")).to_have_text("2 of 2 files are on their way.")
    expect(page.locator("#img2img_interrupt")).to_be_disabled()
    folder = site.server.folders.data / "outputs" / "img2img-images" / "trip"
    assert sorted(file.name for file in folder.iterdir()) == ["a b.png", "c.png"]
    jobs = {job.request.source_names[0]: job.request.mask is not None for job in site.server.jobs.history(None)}
    assert jobs == {"a b": False, "c": True}


def test_png_info_sends_picture_and_recipe_to_inpaint(page: Page) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "a red house\nSteps: 7, Seed: 99, Size: 96x64, Denoising strength: 0.4, Mask blur: 9")
    file = io.BytesIO()
    Image.open(io.BytesIO(picture())).save(file, "PNG", pnginfo=info)
    page.get_by_role("tab", name="PNG Info", exact=True).click()
    page.set_input_files("#pnginfo_file", {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.click("#pnginfo_send_to_inpaint")
    expect(page.locator("#inpaint_prompt textarea")).to_have_value("a red house")
    expect(page.locator("#inpaint_denoising_strength input[type=number]")).to_have_value("0.4")
    expect(page.locator("#inpaint_mask_blur input[type=number]")).to_have_value("9")
    expect(page.locator("#inpaint_scale_resolution_preview")).to_have_text("from 96x64 to 96x64")
