"""The cards of models in a browser: found, chosen, put into prompts, by mouse, keys and thumb; thousands do not lag."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.api.serving import SHAPES
from tests.files.making import SDXL, VAE, lora, write_safetensors
from tests.web.conftest import Site, fill_small, opened

pytestmark = pytest.mark.browser

NewContext = Callable[..., BrowserContext]
PROMPT = "#txt2img_prompt textarea"
NEGATIVE = "#txt2img_neg_prompt textarea"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
HOSTILE = "<img src=x onerror=document.title=1>"


def add_lora(site: Site, name: str, width: int = 768, **metadata: str) -> Path:
    path = site.server.folders.loras[0] / f"{name}.safetensors"
    return write_safetensors(path, lora(width), metadata={"n": name, **metadata})


def add_embedding(site: Site, name: str) -> Path:
    return write_safetensors(site.server.folders.embeddings[0] / f"{name}.safetensors", {"emb_params": (2, 768)})


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def card(page: Page, kind: str, label: str) -> Locator:
    return page.locator(f"#txt2img_{kind}_cards .card", has=page.locator(".name", has_text=re.compile(f"^{label}$")))


def test_a_lora_goes_into_the_prompt_and_out_again(page: Page, site: Site) -> None:
    path = add_lora(site, "ink")
    path.with_suffix(".json").write_text(
        json.dumps({"activation text": "ink style", "negative text": "photo", "preferred weight": 0.8})
    )
    page.fill(PROMPT, "a cat")
    tab(page, "Lora")
    ink = card(page, "lora", "ink")
    ink.locator(".easel-card-main").click()
    expect(page.locator(PROMPT)).to_have_value("a cat <lora:ink:0.8> ink style")
    expect(page.locator(NEGATIVE)).to_have_value("(photo:1)")
    expect(ink.locator(".easel-card-main")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("JSON.parse(easel.memory()).values.prompt.includes('<lora:ink:0.8>')")
    ink.locator(".easel-card-main").click()
    expect(page.locator(PROMPT)).to_have_value("a cat")
    expect(page.locator(NEGATIVE)).to_have_value("")
    expect(ink.locator(".easel-card-main")).to_have_attribute("aria-pressed", "false")


def test_an_embedding_goes_where_the_caret_was_last(page: Page, site: Site) -> None:
    add_embedding(site, "bad-hand")
    page.click(NEGATIVE)
    tab(page, "Textual Inversion")
    card(page, "textual_inversion", "bad-hand").locator(".easel-card-main").click()
    expect(page.locator(NEGATIVE)).to_have_value("bad-hand")
    page.click(PROMPT)
    card(page, "textual_inversion", "bad-hand").locator(".easel-card-main").click()
    expect(page.locator(PROMPT)).to_have_value("bad-hand")


def test_a_checkpoints_card_chooses_it_and_its_size_follows(page: Page, site: Site) -> None:
    write_safetensors(
        site.server.folders.checkpoints[0] / "small.safetensors", SHAPES, metadata={"modelspec.resolution": "128x96"}
    )
    site.server.library.refresh("checkpoint")
    tab(page, "Checkpoints")
    card(page, "checkpoints", "small").locator(".easel-card-main").click()
    expect(page.locator("#setting_sd_model_checkpoint input")).to_have_value(re.compile(r"^small\.safetensors"))
    expect(card(page, "checkpoints", "small")).to_have_class(re.compile("easel-pressed"))
    tab(page, "Generation")
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("128")
    page.wait_for_function("JSON.parse(easel.memory()).values.checkpoint === 'small.safetensors'")


def test_cards_of_another_family_are_grey_until_the_checkpoint_fits(page: Page, site: Site) -> None:
    write_safetensors(site.server.folders.checkpoints[0] / "xl.safetensors", SDXL)
    site.server.library.refresh("checkpoint")
    add_lora(site, "large", 2048)
    tab(page, "Lora")
    large = card(page, "lora", "large")
    expect(large).to_have_class(re.compile("easel-grey"))
    expect(large.locator(".easel-trouble")).to_have_text(
        "It is made for SDXL; the chosen checkpoint is of the family SD1."
    )
    tab(page, "Checkpoints")
    card(page, "checkpoints", "xl").locator(".easel-card-main").click()
    expect(page.locator("#setting_sd_model_checkpoint input")).to_have_value(re.compile(r"^xl\.safetensors"))
    tab(page, "Lora")
    expect(large).not_to_have_class(re.compile("easel-grey"))


def test_the_details_tell_how_much_of_a_network_the_checkpoint_uses(page: Page, site: Site) -> None:
    for name in ("half", "whole"):
        add_lora(site, name)
    tab(page, "Lora")
    dialog = page.locator(".easel-dialog")
    card(page, "lora", "half").locator(".metadata-button").click()
    expect(dialog.locator(".easel-facts").first).to_contain_text("With formula.safetensors1 of 2 layers are used")
    dialog.locator(".easel-unmatched summary").click()
    expect(dialog.locator(".easel-unmatched div")).to_have_text(["lora_unet_<b>far</b>"])
    page.keyboard.press("Escape")
    card(page, "lora", "whole").locator(".metadata-button").click()
    expect(dialog.locator(".easel-facts").first).to_contain_text("2 of 2 layers are used")
    expect(dialog.locator(".easel-unmatched")).to_have_count(0)


def test_search_order_and_folders_narrow_the_cards(page: Page, site: Site) -> None:
    for name in ("people/ann", "people/bob", "styles/ink"):
        add_lora(site, name)
    tab(page, "Lora")
    names = page.locator("#txt2img_lora_cards .name")
    expect(names).to_have_text(["ann", "bob", "ink"])
    page.fill("#txt2img_lora_extra_search", "in")
    expect(names).to_have_text(["ink"])
    expect(page.locator("#txt2img_lora .easel-count")).to_have_text("1 of 3")
    page.fill("#txt2img_lora_extra_search", "nobody")
    expect(page.locator("#txt2img_lora_cards .easel-empty")).to_have_text("Nothing here has this name.")
    page.fill("#txt2img_lora_extra_search", "")
    page.click("#txt2img_lora_tree button:has-text('people (2)')")
    expect(names).to_have_text(["ann", "bob"])
    page.click("#txt2img_lora_extra_sort_dir")
    expect(names).to_have_text(["bob", "ann"])
    page.click("#txt2img_lora_tree button:has-text('All')")
    page.select_option("#txt2img_lora_extra_sort", "name")
    expect(names).to_have_text(["ink", "bob", "ann"])
    add_lora(site, "zoo")
    page.click("#txt2img_lora_extra_refresh")
    expect(names).to_have_text(["zoo", "ink", "bob", "ann"])


def test_hostile_names_and_metadata_are_only_text(page: Page, site: Site) -> None:
    path = add_lora(
        site, HOSTILE, ss_output_name=HOSTILE, ss_tag_frequency=json.dumps({"1_x": {HOSTILE: 3}}), other=HOSTILE
    )
    path.with_name(f"{HOSTILE}.json").write_text(json.dumps({"description": HOSTILE, "notes": "</textarea>" + HOSTILE}))
    add_lora(site, f"{HOSTILE}d/ink")
    title = page.title()
    tab(page, "Lora")
    expect(page.locator("#txt2img_lora_cards .name").first).to_have_text(HOSTILE)
    expect(page.locator("#txt2img_lora_tree")).to_contain_text(f"{HOSTILE}d (1)")
    expect(page.locator("#txt2img_lora_cards .description")).to_have_text(HOSTILE)
    hostile = page.locator("#txt2img_lora_cards .card").first
    hostile.locator(".easel-card-main").click()
    expect(page.locator("#txt2img_lora .easel-told")).to_contain_text("cannot be named in a prompt")
    hostile.locator(".metadata-button").click()
    dialog = page.locator("dialog.easel-dialog")
    expect(dialog.locator(".easel-word")).to_contain_text(HOSTILE)
    expect(dialog.locator("#easel_card_edit_notes")).to_have_value("</textarea>" + HOSTILE)
    dialog.locator("summary").click()
    expect(dialog.locator(".easel-metadata")).to_contain_text(HOSTILE)
    dialog.locator(".easel-word").click()
    expect(page.locator(PROMPT)).to_have_value(HOSTILE)
    assert page.locator("img[onerror], [onerror]").count() == 0
    assert page.title() == title


def test_details_show_metadata_and_words_that_go_into_the_prompt(page: Page, site: Site) -> None:
    add_lora(site, "ann", ss_tag_frequency=json.dumps({"10_ann": {"ann": 12, "red hat": 4}}))
    tab(page, "Lora")
    ann = card(page, "lora", "ann")
    ann.hover()
    ann.locator(".metadata-button").click()
    dialog = page.locator("dialog.easel-dialog")
    expect(dialog.locator("h3")).to_have_text("LoRA: ann")
    facts = dialog.locator(".easel-facts").first
    expect(facts).to_contain_text("Rank4Changes2 layers of unet, text encoder")
    expect(facts).to_contain_text("FamilySD1")
    expect(facts).to_contain_text(re.compile("sha256[0-9a-f]{64}"))
    expect(dialog.locator(".easel-word")).to_have_text(["ann12", "red hat4"])
    dialog.locator(".easel-word").nth(1).click()
    dialog.locator(".easel-word").nth(0).click()
    expect(page.locator(PROMPT)).to_have_value("red hat, ann")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_cards_work_by_keyboard(page: Page, site: Site) -> None:
    for number in range(300):
        add_lora(site, f"style-{number}")
    tab(page, "Lora")
    expect(card(page, "lora", "style-0")).to_be_visible()
    page.locator("#txt2img_lora_extra_refresh").focus()
    page.keyboard.press("Tab")
    if page.evaluate("document.activeElement.closest('.easel-tree') !== null"):
        page.keyboard.press("Tab")
    focused = "document.activeElement.closest('.card')?.dataset.name"
    page.wait_for_function(f"{focused} === 'style-0'")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "style-1"
    page.keyboard.press("Enter")
    expect(page.locator(PROMPT)).to_have_value("<lora:style-1:1>")
    page.keyboard.press("End")
    page.wait_for_function(f"{focused} === 'style-299'")
    expect(card(page, "lora", "style-299")).to_be_in_viewport()
    page.keyboard.press("Home")
    page.wait_for_function(f"{focused} === 'style-0'")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("dialog.easel-dialog h3")).to_have_text("LoRA: style-0")
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == "style-0"


def test_cards_fit_on_a_telephone(site: Site, new_context: NewContext) -> None:
    for number in range(30):
        add_lora(site, f"a-rather-long-name-of-a-style-{number}")
    page = opened(new_context(**PHONE).new_page(), site.address)
    page.locator("#txt2img_extra_tabs").get_by_label("More tabs").tap()
    page.locator("#txt2img_extra_tabs .overflow-dropdown").get_by_text("Lora", exact=True).tap()
    first = page.locator("#txt2img_lora_cards .card").first
    expect(first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = first.bounding_box()
    assert box is not None
    assert box["width"] >= 130
    first.locator(".easel-card-main").tap()
    expect(page.locator(PROMPT)).to_have_value("<lora:a-rather-long-name-of-a-style-0:1>")
    first.locator(".metadata-button").tap()
    expect(page.locator("dialog.easel-dialog h3")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 390


def test_five_thousand_cards_do_not_lag(page: Page, site: Site) -> None:
    folder = site.server.folders.loras[0]
    write_safetensors(folder / "0.safetensors", lora(768))
    data = (folder / "0.safetensors").read_bytes()
    for number in range(5000):
        (folder / f"style-{number}.safetensors").write_bytes(data)
    Image.new("RGB", (512, 768), "red").save(folder / "0.png")
    site.server.library.refresh("lora")
    began = time.perf_counter()
    tab(page, "Lora")
    expect(page.locator("#txt2img_lora_cards img.easel-there").first).to_be_visible()
    first_cards = time.perf_counter() - began
    assert first_cards < 3
    drawn = page.locator("#txt2img_lora_cards .card").count()
    assert drawn < 150
    # Through the whole list, a screen a frame; the longest pause between two frames is what the eye notices.
    frames = page.evaluate(
        """async () => {
          const list = document.getElementById("txt2img_lora_cards"), pauses = [];
          let last = performance.now(), most = 0;
          for (let step = 0; step < 60; step++) {
            list.scrollTop = (step / 59) * list.scrollHeight;
            await new Promise(requestAnimationFrame);
            pauses.push(performance.now() - last);
            last = performance.now();
            most = Math.max(most, list.querySelectorAll(".card").length);
          }
          pauses.sort((one, other) => one - other);
          return { middle: pauses[30], longest: pauses.at(-1), most };
        }"""
    )
    expect(card(page, "lora", "style-4999")).to_be_visible()
    print(f"first cards after {first_cards:.2f} s; frames {frames}")
    assert frames["most"] < 150
    assert frames["middle"] < 100


def test_a_picture_shown_becomes_the_preview(own_site: Site, new_context: NewContext) -> None:
    site, page = own_site, opened(new_context().new_page(), own_site.address)
    add_lora(site, "ink")
    fill_small(page)
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#txt2img_gallery .easel-stage button img")).to_be_visible()
    tab(page, "Lora")
    ink = card(page, "lora", "ink")
    ink.hover()
    ink.locator(".edit-button").click()
    page.get_by_role("button", name="Replace preview").click()
    expect(page.locator("dialog .easel-told")).to_have_text("The picture now shown is the preview.")
    page.keyboard.press("Escape")
    expect(ink.locator("img.easel-there")).to_have_count(1)
    with Image.open(site.server.folders.loras[0] / "ink.png") as preview:
        assert preview.size == (64, 64)


def test_notes_are_written_into_a1111s_sidecar(own_site: Site, new_context: NewContext) -> None:
    site, page = own_site, opened(new_context().new_page(), own_site.address)
    path = add_lora(site, "ink")
    path.with_suffix(".json").write_text(json.dumps({"sd version": "SD1", "civitai id": 7}))
    tab(page, "Lora")
    ink = card(page, "lora", "ink")
    ink.hover()
    ink.locator(".edit-button").click()
    page.fill("#easel_card_edit_activation_text", "ink style")
    page.fill("#easel_card_edit_preferred_weight", "0.7")
    page.fill("#easel_card_edit_description", "Black on white")
    page.fill("#easel_card_edit_notes", "found at a fair")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog .easel-told")).to_have_text("Saved.")
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == {
        "sd version": "SD1",
        "civitai id": 7,
        "description": "Black on white",
        "activation text": "ink style",
        "preferred weight": 0.7,
        "negative text": "",
        "notes": "found at a fair",
    }
    page.keyboard.press("Escape")
    expect(ink.locator(".description")).to_have_text("Black on white")
    ink.locator(".easel-card-main").click()
    expect(page.locator(PROMPT)).to_have_value("<lora:ink:0.7> ink style")


def test_a_checkpoints_own_vae_is_noted(own_site: Site, new_context: NewContext) -> None:
    site, page = own_site, opened(new_context().new_page(), own_site.address)
    write_safetensors(site.server.folders.vaes[0] / "clear.safetensors", VAE)
    site.server.library.refresh("vae")
    tab(page, "Checkpoints")
    formula = card(page, "checkpoints", "formula")
    formula.hover()
    formula.locator(".edit-button").click()
    page.select_option("#easel_card_edit_vae", "clear.safetensors")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog .easel-told")).to_have_text("Saved.")
    checkpoint = site.server.library.find("formula.safetensors")
    chosen = site.server.library.vae_of(checkpoint)
    assert chosen is not None
    assert chosen.name == "clear.safetensors"
