"""What is in memory, in a browser: the tiers live, pinning and unloading, and the load of a model with its speed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.access import Access
from app.jobs.engine import BeforeGroup
from app.schema.events import Loading, ModelLoading, RowEvent
from app.schema.memory import MemoryTier, ModelInMemory, ModelMemory
from app.web import mount_page
from tests.api.serving import build_server
from tests.jobs.workplace import Gate
from tests.web.conftest import Site, fill_small, opened, running

pytestmark = pytest.mark.browser

NewContext = Callable[..., BrowserContext]
GB = 1_000_000_000


class Loaded(Gate):
    """Holds a checkpoint; before the first step of a job it tells of a load that is half done."""

    def __init__(self, path: str, before_group: BeforeGroup) -> None:
        super().__init__(before_group)
        self.path = path
        self.paths = [path]
        self.told = False

    def memory(self) -> ModelMemory:
        models = tuple(
            ModelInMemory(path, Path(path).name, "checkpoint", 2 * GB, GB, GB, path in self.pinned, True, "fp16")
            for path in self.paths
        )
        used = 2 * GB * len(models)
        return ModelMemory(models, (MemoryTier("device", "cuda:0", used, 6 * GB, 8 * GB),))

    def reload(self) -> None:
        self.paths = [self.path]

    def step(self) -> list[RowEvent]:
        if self.rows and not self.told:
            self.told = True
            load = Loading("formula.safetensors", "U-Net", GB, 4 * GB, 850_000_000)
            return [ModelLoading((self.rows[0].plan.job,), "Loading formula", load)]
        return super().step()


def site_of(folder: Path, access: Access) -> Iterator[Site]:
    engines: list[Gate] = []

    def make(before_group: BeforeGroup) -> Loaded:
        path = server.folders.checkpoints[0] / "formula.safetensors"
        engines.append(Loaded(str(path), before_group))
        return engines[-1]  # type: ignore[return-value]

    server = build_server(folder, make, access)
    mount_page(
        server.app,
        jobs=server.jobs,
        library=server.library,
        settings=server.settings,
        resolver=server.resolver,
        styles=server.styles,
    )
    with running(server) as address:
        yield Site(server, address, engines, lambda: None)
        for engine in engines:
            engine.open_for_good.set()
    server.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from site_of(tmp_path, Access())


@pytest.fixture
def shared_site(tmp_path: Path) -> Iterator[Site]:
    yield from site_of(tmp_path, Access(personal=False))


def draw(page: Page, site: Site) -> None:
    fill_small(page)
    page.click("#txt2img_generate")
    site.engine.open_for_good.set()
    expect(page.locator("#txt2img_gallery .easel-stage button img")).to_be_visible()


def test_a_load_tells_its_part_bytes_and_speed(page: Page, site: Site) -> None:
    fill_small(page)
    page.click("#txt2img_generate")
    expect(page.locator("#txt2img_progress_words")).to_have_text(
        "loading formula.safetensors: U-Net, 1.0 GB of 4.0 GB, 850 MB/s"
    )
    expect(page.locator("#txt2img_progress .easel-bar")).to_have_attribute("aria-valuenow", "25")
    site.engine.open_for_good.set()
    expect(page.locator("#txt2img_gallery .easel-stage button img")).to_be_visible()


def test_the_tiers_are_shown_live_and_models_can_be_pinned_and_unloaded(page: Page, site: Site) -> None:
    memory = page.locator("#easel_memory")
    expect(memory.locator("summary")).to_have_text("In memory: no model")
    draw(page, site)
    expect(memory.locator("summary")).to_have_text("In memory: formula.safetensors (3.0 GB)")
    memory.locator("summary").click()
    expect(memory.locator(".easel-tier")).to_have_text(
        "graphics memory (cuda:0): 2.0 GB of 6.0 GB that models may take, 8.0 GB in all"
    )
    expect(memory.locator(".easel-tier .easel-bar")).to_have_attribute("aria-valuenow", str(2 * GB))
    model = memory.locator(".easel-model")
    expect(model).to_contain_text("2.0 GB in graphics memory, 1.0 GB in main memory, 1.0 GB of it shared with the file")
    model.get_by_role("button", name="Pin").click()
    expect(model).to_contain_text("in use · pinned")
    memory.get_by_role("button", name="Unload all").click()
    model.get_by_role("button", name="Unpin").click()
    expect(model).not_to_contain_text("pinned")
    model.get_by_role("button", name="Unload", exact=True).click()
    expect(memory.locator("summary")).to_have_text("In memory: no model")
    expect(model).to_have_count(0)
    memory.get_by_role("button", name="Load the last one again").click()
    expect(model).to_have_count(1)


def test_guests_see_what_is_in_memory_and_change_nothing(shared_site: Site, new_context: NewContext) -> None:
    page = opened(new_context().new_page(), shared_site.address)
    draw(page, shared_site)
    page.locator("#easel_memory summary").click()
    expect(page.locator(".easel-model")).to_contain_text("checkpoint · fp16 · in use")
    expect(page.locator("#easel_memory button")).to_have_count(0)


def test_menus_show_hash_and_family_and_grey_what_cannot_be_used(page: Page, site: Site) -> None:
    file = site.server.library.list("checkpoint")[0]
    digest = site.server.library.hash(file)
    (site.server.folders.checkpoints[0] / "torn.safetensors").write_bytes(b"torn")
    page.click("#refresh_sd_model_checkpoint")
    expect(page.locator("#setting_sd_model_checkpoint input")).to_have_value(
        f"formula.safetensors [{digest[:10]}] · SD1"
    )
    page.click("#setting_sd_model_checkpoint input")
    torn = page.get_by_role("option", name="torn.safetensors")
    expect(torn).to_have_text(re.compile("torn.safetensors – cannot be used: .+"))
    assert float(torn.evaluate("option => getComputedStyle(option).opacity")) < 1
    fine = page.get_by_role("option", name="other.safetensors")
    assert fine.evaluate("option => getComputedStyle(option).opacity") == "1"
