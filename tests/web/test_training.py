"""The Train tab: from a folder of pictures to a file in a prompt, watched, paused, closed and opened again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect
from pydantic import BaseModel, Field

from app.access import Access
from app.entries import TargetEntry
from app.schema.control import Control
from app.web import mount_page
from tests.api.serving import build_server
from tests.api.training_site import TrainingSite, add_trainings
from tests.jobs.fake_engine import FakeEngine
from tests.jobs.training_place import some_pictures
from tests.training.lives import start_fake, warm
from tests.web.conftest import opened, running

pytestmark = pytest.mark.browser

Opens = Callable[..., Page]


@pytest.fixture
def sites() -> list[TrainingSite]:
    return []


@pytest.fixture
def opens(tmp_path: Path, new_context: Callable[..., BrowserContext], sites: list[TrainingSite]) -> Iterator[Opens]:
    """Opens the tab of a server with these rules."""
    warm()  # what the first training imports is not waited for by a page
    with ExitStack() as closing:

        def make(access: Access | None = None, pause: float = 0.002, **targets: TargetEntry) -> Page:
            server = build_server(tmp_path / "data", FakeEngine, access or Access())
            closing.callback(server.close)
            methods = {f"mine/{name}": entry for name, entry in targets.items()}
            site = add_trainings(server, partial(start_fake, pause=pause), methods)
            closing.callback(site.close)
            sites.append(site)
            mount_page(
                server.app,
                jobs=server.jobs,
                library=server.library,
                settings=server.settings,
                resolver=server.resolver,
                styles=server.styles,
                targets=methods,
            )
            return train_tab(opened(new_context().new_page(), closing.enter_context(running(server))))

        yield make


def train_tab(page: Page) -> Page:
    page.get_by_role("tab", name="Train", exact=True).click()
    page.locator("#train[data-ready]").wait_for()
    return page


def fill(page: Page, data: Path, **fields: object) -> None:
    usual: dict[str, object] = {"name": "mine", "data": data, "trigger": "sks", "class_words": "dog", "steps": 30}
    for name, value in {**usual, "sample_every": 10, **fields}.items():
        page.fill(f"#train_{name}", str(value))


def test_from_a_folder_of_pictures_to_a_file_that_the_prompt_names(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    expect(page.locator("#train_methods :checked")).to_have_value("lora")
    expect(page.locator("#train_learning_rate")).to_have_value("1e-4")
    fill(page, some_pictures(tmp_path / "dogs"))
    page.click("#train_check")
    expect(page.locator("#train_plan")).to_contain_text("4 pictures in 1 bucket, 4 shown per epoch, 30 steps")
    expect(page.locator("#train_plan")).to_contain_text("Captions are short.")
    page.click("#train_start")
    expect(page.locator("#train_choice")).to_contain_text("mine (done)", timeout=30_000)
    expect(page.locator("#train_samples img")).to_have_count(3)
    expect(page.locator("#train_samples figcaption")).to_have_text(["step 10", "step 20", "step 30"])
    expect(page.locator("#train_curve path.smooth")).to_have_count(1)
    expect(page.locator("#train_curve")).to_have_attribute("aria-label", re.compile("at step 30 of 30"))
    assert page.evaluate("document.querySelector('#train_samples img').naturalWidth") == 64
    expect(page.locator("#train_drift_words")).to_have_text("30 %: somewhat")
    expect(page.locator("#train_best")).to_contain_text("Best seems step 20. The loss on held-out")
    page.get_by_role("button", name="Use the file of step 20").click()
    expect(page.locator("#train_best")).to_contain_text("The file of step 20 is in use.")
    page.reload()
    train_tab(page)
    page.get_by_role("button", name="Use the last step's file again").click()
    expect(page.get_by_role("button", name="Use the file of step 20")).to_be_visible()
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("sks dog <lora:mine:1>")
    expect(page.locator("#txt2img_prompt textarea")).to_be_visible()


class Settings(BaseModel):
    """Of a method of an extension."""

    rate: Annotated[float, Field(gt=0), Control("Speed", "times the learning rate", 0, 10)] = 1.5
    way: Annotated[Literal["up", "down"], Control("Way")] = "up"
    twice: Annotated[bool, Control("Twice")] = True
    unseen: int = 3


def test_an_extensions_method_shows_its_settings_which_reach_the_run(
    opens: Opens, sites: list[TrainingSite], tmp_path: Path
) -> None:
    page = opens(thing=TargetEntry("thing", "Thing: of mine", "embedding", lambda: None, Settings))
    speed = page.get_by_label("Speed")
    expect(speed).to_be_hidden()
    page.check("#train_methods [value='mine/thing']")
    expect(speed).to_have_value("1.5")
    fill(page, some_pictures(tmp_path / "dogs"), steps=2)
    speed.fill("-1")
    page.click("#train_start")
    expect(page.locator("#train_error")).to_contain_text("rate: input should be greater than 0")
    expect(speed).to_have_attribute("aria-invalid", "true")
    speed.fill("2.5")
    page.get_by_label("Way").select_option("down")
    page.get_by_label("Twice").uncheck()
    page.click("#train_start")
    expect(page.locator("#train_choice")).to_contain_text("mine")
    (training,) = sites[0].store.history(None, 10)
    assert training.run.request.method_settings == {"rate": 2.5, "way": "down", "twice": False}
    page.reload()
    train_tab(page)
    expect(page.get_by_label("Speed")).to_have_value("2.5")
    page.check("#train_methods [value='lora']")
    expect(page.get_by_label("Speed")).to_be_hidden()


def test_wrong_values_are_told_at_their_field_before_anything_starts(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    (tmp_path / "empty").mkdir()
    fill(page, tmp_path / "empty")
    page.click("#train_start")
    expect(page.locator("#train_error")).to_contain_text("There are no pictures in empty. Add some.")
    expect(page.locator("#train_data")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#train_data")).to_be_focused()
    fill(page, some_pictures(tmp_path / "dogs"), name="")
    page.click("#train_check")
    expect(page.locator("#train_error")).to_contain_text("needs a name")
    expect(page.locator("#train_name")).to_have_attribute("aria-invalid", "true")
    fill(page, tmp_path / "dogs", steps="0")
    page.click("#train_check")
    expect(page.locator("#train_steps")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#train_choice option")).to_have_count(0)


def test_a_training_goes_on_while_the_page_is_closed_is_paused_and_stopped(opens: Opens, tmp_path: Path) -> None:
    page = opens(pause=0.02)
    fill(page, some_pictures(tmp_path / "dogs"), steps=100_000, sample_every=20)
    page.click("#train_start")
    expect(page.locator("#train_words")).to_contain_text(re.compile(r"Training, step \d+ of 100000, loss"))
    expect(page.locator("#train_words")).to_contain_text("left")
    page.reload()
    train_tab(page)
    expect(page.locator("#train_steps")).to_have_value("100000")
    expect(page.locator("#train_samples img").first).to_be_visible()
    expect(page.locator("#train_curve path.loss")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#train_words")).to_contain_text("Paused")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#train_words")).to_contain_text("Training, step")
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.get_by_role("button", name="Try it")).to_be_visible()
    page.get_by_role("button", name="Remove from the list").click()
    expect(page.locator("#train_nothing")).to_be_visible()


def test_a_failed_training_goes_on_at_a_lower_learning_rate(
    opens: Opens, sites: list[TrainingSite], tmp_path: Path
) -> None:
    page = opens()
    page.locator("#train_more summary").click()
    fill(page, some_pictures(tmp_path / "dogs"), steps=20, sample_every=0, comment="too fast", learning_rate="1e-3")
    page.click("#train_start")
    expect(page.locator("#train_failed")).to_contain_text("The loss of step 10 is nan. Take a lower one.")
    rate, go_on = page.get_by_label("at the learning rate"), page.get_by_role("button", name="Go on")
    expect(rate).to_have_value("1e-3")
    rate.fill("quick")
    go_on.click()
    expect(page.locator("#train_notices")).to_contain_text("The learning rate cannot be read.")
    rate.fill("5e-5")
    go_on.click()
    expect(page.locator("#train_choice")).to_contain_text("mine (done)", timeout=30_000)
    expect(page.locator("#train_failed")).to_be_hidden()
    expect(page.locator("#train_notices")).to_contain_text(
        "It failed, and was told to go on: The loss of step 10 is nan."
    )
    expect(page.locator("#train_notices")).to_contain_text("the learning rate 5e-5 instead of 1e-3")
    for part in (rate, go_on):
        expect(part).to_be_hidden()
    (training,) = sites[0].store.history(None, 10)
    assert training.run.request.learning_rate == "5e-5"


def test_a_training_that_failed_for_another_reason_goes_on_as_it_was(
    opens: Opens, sites: list[TrainingSite], tmp_path: Path
) -> None:
    page = opens()
    page.locator("#train_more summary").click()
    fill(page, some_pictures(tmp_path / "dogs"), steps=20, sample_every=0, comment="breaks")
    page.click("#train_start")
    expect(page.locator("#train_failed")).to_have_text("The data are wrong.")
    expect(page.get_by_label("at the learning rate")).to_be_hidden()
    (training,) = sites[0].store.history(None, 10)
    (sites[0].trainings.run_folder(training.id).path / "mended").touch()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#train_choice")).to_contain_text("mine (done)", timeout=30_000)


def test_pictures_are_dropped_looked_at_and_captioned(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    page.fill("#train_name", "drops")
    for number in range(2):
        Image.new("RGB", (96, 64), (200, 30 * number, 90)).save(tmp_path / f"{number}.png")
    page.set_input_files("#train_files", [tmp_path / "0.png", tmp_path / "1.png"])
    expect(page.locator("#train_data")).to_have_value(re.compile(r"training-pictures.drops$"))
    expect(page.locator("#train_pictures tr")).to_have_count(2)
    expect(page.locator("#train_pictures")).to_contain_text("2 pictures in 1 size: 2 at 64x64")
    expect(page.locator("#train_pictures")).to_contain_text("96x64, trained at 64x64")
    caption = page.get_by_label("Caption of 0.png")
    caption.fill("sks dog, 草地")
    caption.blur()
    expect(page.locator("#train_pictures [role=status]")).to_have_text("The caption of 0.png is written.")
    folder = Path(page.input_value("#train_data"))
    assert (folder / "0.txt").read_text(encoding="utf-8") == "sks dog, 草地"


def test_methods_show_their_own_fields_and_usual_values(opens: Opens) -> None:
    page = opens()
    expect(page.locator("#train_rank")).to_be_visible()
    expect(page.locator("#train_vectors")).to_be_hidden()
    page.get_by_text("Textual inversion", exact=False).locator("visible=true").last.click()
    expect(page.locator("#train_methods :checked")).to_have_value("textual_inversion")
    expect(page.locator("#train_vectors")).to_be_visible()
    expect(page.locator("#train_rank")).to_be_hidden()
    expect(page.locator("#train_prior")).to_be_hidden()
    expect(page.locator("#train_learning_rate")).to_have_value("5e-3")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_kohya_toml_fills_the_form(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    text = 'pretrained_model_name_or_path = "/models/formula.safetensors"\ntrain_data_dir = "/dogs"\nnetwork_dim = 4\n'
    (tmp_path / "kohya.toml").write_text(f'{text}max_train_epochs = 3\nip_noise_gamma = 1\nsample_prompts = "a dog"\n')
    page.set_input_files("#train_toml", tmp_path / "kohya.toml")
    expect(page.locator("#train_plan")).to_have_text(
        "The values of kohya.toml are in the form. Left out, as nothing here does it: ip_noise_gamma."
    )
    for name, value in (("data", "/dogs"), ("rank", "4"), ("epochs", "3"), ("sample_prompts", "a dog")):
        expect(page.locator(f"#train_{name}")).to_have_value(value)
    expect(page.locator("#train_checkpoint")).to_have_value(re.compile("^formula"))


def test_guests_are_told_that_only_the_administrator_trains(opens: Opens) -> None:
    page = opens(Access(personal=False))
    expect(page.locator("#train_nothing")).to_contain_text("Only the administrator")
    expect(page.locator("#train_start")).to_be_disabled()
