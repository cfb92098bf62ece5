"""An extension's kind of network: named in a tag, found at submission, put on by the engine and taken off again."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.extension_host import ExtensionHost
from app.files import CHECKPOINT, Folders, ModelLibrary
from app.hooks import Registry
from app.jobs import Resolver
from app.jobs.networks import hashed
from app.language import Tokenizer
from app.networks import NetworkSet, Wanted
from app.schema.request import GenerationRequest
from tests.files.making import SD1, write_safetensors
from tests.networks.making import state_hash, tiny_model

EXTENSION = """
from pathlib import Path
from app.extension_api import hook

class Dimmer:
    name = "dimmer"
    folder = Path(__file__).parent

    def find(self, which):
        path = self.folder / f"{which}.dim"
        return path if path.is_file() else None

    def open(self, path, which):
        from .dimming import Dimming
        return Dimming(which, float(path.read_text()))

@hook
def register_networks():
    return [Dimmer()]
"""
DIMMING = """
from app.extension_api import Report

class Dimming:
    kind, family = "dimmer", ""

    def __init__(self, name, factor):
        self.name, self.factor = name, factor
        self.fingerprint = f"dimmer {name} {factor}"

    def report(self, model):
        return Report(self.name, "Dimmer", None, 1, 1)

    def attach(self, model, strength):
        handle = model.unet.register_forward_hook(lambda *call: None)
        model.unet.dimmed = self.factor * strength
        def undo():
            handle.remove()
            del model.unet.dimmed
        return undo
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    folder = tmp_path / "extensions" / "dims"
    folder.mkdir(parents=True)
    (folder / "extension.py").write_text(EXTENSION)
    (folder / "dimming.py").write_text(DIMMING)
    (folder / "half.dim").write_text("0.5")
    registry = Registry()
    host = ExtensionHost([folder.parent], registry)
    host.load()
    assert [extension.problem for extension in host.extensions] == [""]
    return registry


def test_a_tag_of_its_word_is_a_network_of_the_job(registry: Registry, tmp_path: Path) -> None:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    write_safetensors(folders.of_kind(CHECKPOINT)[0] / "model.safetensors", SD1)
    library = ModelLibrary(folders)
    resolver = Resolver(library, precision=lambda wanted: "fp32", network_kinds=registry.table("register_networks"))
    resolved = resolver(GenerationRequest(prompt="a cat <dimmer:half:0.8> <dimmer:none:1> <other:half:1>", seed=1))
    (use,) = resolved.networks
    assert (use.kind, use.name, use.text, Path(use.file.path).name) == ("dimmer", "half", 0.8, "half.dim")
    assert resolved.missing_networks == ("none",)
    assert hashed(use, library) == use


def test_it_is_put_on_and_taken_off_like_any_other(registry: Registry, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    before = state_hash(model)
    kinds = registry.table("register_networks")
    path = kinds["dimmer"].find("half")
    status = path.stat()
    networks = NetworkSet(Tokenizer().encode, kinds)
    wanted = Wanted("dimmer", "half", str(path), status.st_size, status.st_mtime_ns, 0.8, 0.8)
    assert [str(report) for report in networks.apply(model, [wanted])] == ["half: Dimmer, 1 of 1 layers used"]
    assert model.unet.dimmed == 0.4
    assert networks.apply(model, []) == ()
    assert not hasattr(model.unet, "dimmed")
    assert state_hash(model) == before
