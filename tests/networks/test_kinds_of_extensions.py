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
from app.launch.extensions import network_kinds_of
from app.networks import NetworkSet, Wanted
from app.schema.errors import ExtensionFailed
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
def host(tmp_path: Path) -> ExtensionHost:
    folder = tmp_path / "extensions" / "dims"
    folder.mkdir(parents=True)
    (folder / "extension.py").write_text(EXTENSION)
    (folder / "dimming.py").write_text(DIMMING)
    (folder / "half.dim").write_text("0.5")
    host = ExtensionHost([folder.parent], Registry())
    host.load()
    assert [extension.problem for extension in host.extensions] == [""]
    return host


@pytest.fixture
def registry(host: ExtensionHost) -> Registry:
    return host.registry


def resolver_with(registry: Registry, tmp_path: Path) -> Resolver:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    write_safetensors(folders.of_kind(CHECKPOINT)[0] / "model.safetensors", SD1)
    library = ModelLibrary(folders)
    return Resolver(library, precision=lambda wanted: "fp32", network_kinds=network_kinds_of(registry))


def test_a_tag_of_its_word_is_a_network_of_the_job(registry: Registry, tmp_path: Path) -> None:
    resolver = resolver_with(registry, tmp_path)
    resolved = resolver(GenerationRequest(prompt="a cat <dimmer:half:0.8> <dimmer:none:1> <other:half:1>", seed=1))
    (use,) = resolved.networks
    assert (use.kind, use.name, use.text, Path(use.file.path).name) == ("dimmer", "half", 0.8, "half.dim")
    assert resolved.missing_networks == ("none",)
    assert hashed(use, resolver.library) == use


def test_it_is_put_on_and_taken_off_like_any_other(registry: Registry, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    before = state_hash(model)
    kinds = network_kinds_of(registry)
    path = kinds["dimmer"].find("half")
    status = path.stat()
    networks = NetworkSet(Tokenizer().encode, kinds)
    wanted = Wanted("dimmer", "half", str(path), status.st_size, status.st_mtime_ns, 0.8, 0.8)
    assert [str(report) for report in networks.apply(model, [wanted])] == ["half: Dimmer, 1 of 1 layers used"]
    assert model.unet.dimmed == 0.4
    assert networks.apply(model, []) == ()
    assert not hasattr(model.unet, "dimmed")
    assert state_hash(model) == before


@pytest.mark.parametrize(
    ("find", "words"),
    [
        ("raise RuntimeError('no such shelf')", "RuntimeError: no such shelf"),
        ("return Path('nowhere') / which", "FileNotFoundError: It finds nowhere/half, which is no file"),
        ("return 5", "TypeError"),
    ],
)
def test_one_that_fails_to_find_fails_that_job_alone_and_is_marked(
    host: ExtensionHost, tmp_path: Path, find: str, words: str
) -> None:
    (extension,) = host.extensions
    code = EXTENSION.replace("path = self.folder", f"{find}\n        path = self.folder").replace("dimmer", "lantern")
    folder = tmp_path / "more" / "shelves"
    folder.mkdir(parents=True)
    (folder / "extension.py").write_text(code)
    both = ExtensionHost([extension.folder.parent, folder.parent], Registry())
    both.load()
    resolver = resolver_with(both.registry, tmp_path)
    with pytest.raises(
        ExtensionFailed, match=r"The network <lantern:half> of the extension 'shelves' failed"
    ) as failed:
        resolver(GenerationRequest(prompt="a cat <lantern:half:1>", seed=1))
    assert words in str(failed.value)
    assert {one.name: (one.state, words in one.problem) for one in both.extensions} == {
        "dims": ("loaded", False),
        "shelves": ("loaded", True),
    }
    (use,) = resolver(GenerationRequest(prompt="a cat <dimmer:half:1>", seed=1)).networks
    assert use.kind == "dimmer"
    assert resolver(GenerationRequest(prompt="a cat", seed=1)).networks == ()


def test_one_that_fails_to_open_leaves_the_model_as_it_was_and_is_marked(host: ExtensionHost, tmp_path: Path) -> None:
    (host.extensions[0].folder / "half.dim").write_text("dark")
    model = tiny_model(tmp_path)
    before = state_hash(model)
    kinds = network_kinds_of(host.registry)
    path = kinds["dimmer"].find("half")
    assert path is not None
    status = path.stat()
    networks = NetworkSet(Tokenizer().encode, kinds)
    wanted = Wanted("dimmer", "half", str(path), status.st_size, status.st_mtime_ns)
    with pytest.raises(ExtensionFailed, match="'dims' failed: ValueError: could not convert string to float: 'dark'"):
        networks.apply(model, [wanted])
    assert "could not convert" in host.extensions[0].problem
    assert networks.apply(model, []) == ()
    assert state_hash(model) == before


CHANGING = """
    def targets(self, model):
        yield next(path for path, _ in model.weights())

    def changed(self, model, path, weight, strength, rank=None):
        return weight * next(model.unet.parameters()).new_ones(()).requires_grad_() * self.factor
"""


def opened_set(tmp_path: Path, name: str, dimming: str) -> tuple[ExtensionHost, NetworkSet, Wanted]:
    """An extension of that name with that network, and how the network is asked for."""
    folder = tmp_path / "of its own" / name
    folder.mkdir(parents=True)
    (folder / "extension.py").write_text(EXTENSION)
    (folder / "dimming.py").write_text(dimming)
    (folder / "half.dim").write_text("0.5")
    host = ExtensionHost([folder.parent], Registry())
    host.load()
    kinds = network_kinds_of(host.registry)
    path = kinds["dimmer"].find("half")
    assert path is not None
    return host, NetworkSet(Tokenizer().encode, kinds), asked_for(path)


def another(wanted: Wanted, name: str) -> Wanted:
    """A second network of the same extension, in a file beside."""
    path = Path(wanted.path).with_stem(name)
    path.write_text("0.5")
    return asked_for(path)


def asked_for(path: Path) -> Wanted:
    """As a request names the network of a file."""
    status = path.stat()
    return Wanted("dimmer", path.stem, str(path), status.st_size, status.st_mtime_ns, 1, 1)


@pytest.mark.parametrize("asked", ["report", "attach", "changed", "targets"])
def test_one_that_fails_while_it_is_put_on_is_named_marked_and_leaves_the_model_as_it_was(
    tmp_path: Path, asked: str
) -> None:
    code = (DIMMING + CHANGING).replace(
        f"def {asked}(self", f"def {asked}(self, *given):\n        1 / 0\n\n    def x(self"
    )
    host, networks, wanted = opened_set(tmp_path, f"fails_to_{asked}", code)
    model = tiny_model(tmp_path)
    before = state_hash(model)
    with pytest.raises(
        ExtensionFailed, match=f"network <dimmer:half> of the extension 'fails_to_{asked}' failed: ZeroDiv"
    ):
        networks.apply(model, [wanted])
    assert "division by zero" in host.extensions[0].problem
    assert networks.apply(model, []) == ()
    assert not hasattr(model.unet, "dimmed")
    assert state_hash(model) == before


def test_one_that_fails_while_it_is_taken_off_is_named_and_what_was_put_on_before_it_still_comes_off(
    tmp_path: Path,
) -> None:
    code = DIMMING.replace("del model.unet.dimmed", "assert self.name != 'half'")
    host, networks, wanted = opened_set(tmp_path, "fails_to_undo", code)
    other = another(wanted, "before")
    model = tiny_model(tmp_path)
    networks.apply(model, [other, wanted])
    with pytest.raises(ExtensionFailed, match="network <dimmer:half> of the extension 'fails_to_undo' failed: Assert"):
        networks.apply(model, [])
    assert "AssertionError" in host.extensions[0].problem
    assert networks.apply(model, []) == ()
    assert not model.unet._forward_hooks


def test_where_two_fail_while_they_are_taken_off_the_weights_are_the_files_again(tmp_path: Path) -> None:
    code = (DIMMING + CHANGING).replace("del model.unet.dimmed", "raise AssertionError")
    _, networks, wanted = opened_set(tmp_path, "fail_to_undo", code)
    other = another(wanted, "second")
    model = tiny_model(tmp_path)
    before = state_hash(model)
    networks.apply(model, [wanted, other])
    assert state_hash(model) != before
    with pytest.raises(ExtensionFailed, match="'fail_to_undo' failed: AssertionError"):
        networks.apply(model, [])
    assert networks.apply(model, []) == ()
    assert not model.unet._forward_hooks
    assert state_hash(model) == before


def test_one_that_changes_weights_changes_them_without_a_trace_of_its_reckoning(tmp_path: Path) -> None:
    _, networks, wanted = opened_set(tmp_path, "changes", DIMMING + CHANGING)
    model = tiny_model(tmp_path)
    before = state_hash(model)
    _, weight = next(iter(model.weights()))
    own = weight.detach().clone()
    networks.apply(model, [wanted])
    _, now = next(iter(model.weights()))
    assert bool((now == own * 0.5).all())
    assert now.grad_fn is None
    networks.apply(model, [])
    assert state_hash(model) == before
