"""What is stored with a job cannot drift: files, numbers and text in place of names, -1 and styles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from app.files import Folders, ModelLibrary
from app.jobs.hashing import AddHashes, HashAhead
from app.jobs.resolve import LARGEST_DRAWN_SEED, Resolver, draw_seed
from app.jobs.store import Store
from app.language import Style
from app.schema.errors import BrokenModelFile, InvalidPrompt, ModelNotFound, UnknownChoice
from app.schema.request import GenerationRequest
from tests.files.making import SD1, SD1_TEXT, SD1_UNET, VAE, write_safetensors


def checkpoint(file: Path) -> None:
    write_safetensors(file, SD1)


def vae(file: Path) -> None:
    write_safetensors(file, VAE)


def as_fp32(wanted: str) -> str:
    return "fp32" if wanted == "auto" else wanted


def as_bf16(wanted: str) -> str:
    return "bf16" if wanted == "auto" else wanted


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    checkpoint(folders.checkpoints[0] / "first.safetensors")
    return folders


@pytest.fixture
def resolver(folders: Folders) -> Resolver:
    return Resolver(ModelLibrary(folders), precision=as_bf16, draw_seed=lambda: 42)


def test_minus_one_becomes_a_number(resolver: Resolver) -> None:
    drawn = resolver(GenerationRequest(seed=-1, variation_seed=-1)).request
    assert (drawn.seed, drawn.variation_seed) == (42, 42)
    given = resolver(GenerationRequest(seed=7, variation_seed=8)).request
    assert (given.seed, given.variation_seed) == (7, 8)


def test_seeds_are_drawn_from_a1111s_range() -> None:
    seeds = {draw_seed() for _ in range(200)}
    assert len(seeds) > 190
    assert all(0 <= seed <= LARGEST_DRAWN_SEED for seed in seeds)


def test_a_checkpoint_becomes_a_file(resolver: Resolver, folders: Folders) -> None:
    file = folders.checkpoints[0] / "first.safetensors"
    for name in ("", "first", "first.safetensors"):
        resolved = resolver(GenerationRequest(checkpoint=name))
        assert resolved.checkpoint.path == str(file)
        assert (resolved.checkpoint.size, resolved.checkpoint.mtime_ns) == (
            file.stat().st_size,
            file.stat().st_mtime_ns,
        )
        assert resolved.checkpoint_name == "first"


def test_an_unknown_or_broken_checkpoint_is_refused(resolver: Resolver, folders: Folders) -> None:
    with pytest.raises(ModelNotFound, match="no-such-model"):
        resolver(GenerationRequest(checkpoint="no-such-model"))
    (folders.checkpoints[0] / "broken.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(BrokenModelFile, match="broken"):
        resolver(GenerationRequest(checkpoint="broken"))


def test_without_a_name_the_chosen_checkpoint_serves_and_the_starter_comes_last(folders: Folders) -> None:
    checkpoint(folders.checkpoints[0] / "zebra.safetensors")
    checkpoint(folders.checkpoints[0] / "a" / "starter.safetensors")
    library = ModelLibrary(folders)
    chosen = ["zebra"]
    resolver = Resolver(library, precision=as_fp32, default_checkpoint=lambda: chosen[0])
    assert resolver(GenerationRequest()).checkpoint_name == "zebra"
    chosen[0] = "gone meanwhile"
    assert resolver(GenerationRequest()).checkpoint_name == "first"
    chosen[0] = ""
    for name in ("zebra", "first"):
        (folders.checkpoints[0] / f"{name}.safetensors").unlink()
    library.refresh()
    assert resolver(GenerationRequest()).checkpoint_name == "starter"


def test_a_first_checkpoint_put_there_meanwhile_is_found(folders: Folders) -> None:
    file = folders.checkpoints[0] / "first.safetensors"
    aside = file.rename(folders.data / "aside")
    resolver = Resolver(ModelLibrary(folders), precision=as_fp32)
    with pytest.raises(ModelNotFound):
        resolver(GenerationRequest())
    aside.rename(file)
    assert resolver(GenerationRequest()).checkpoint_name == "first"


def test_no_checkpoint_at_all_says_what_to_do(folders: Folders) -> None:
    (folders.checkpoints[0] / "first.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="models/Stable-diffusion"):
        Resolver(ModelLibrary(folders), precision=as_fp32)(GenerationRequest())


def test_a_vae_is_found_by_name_or_beside_the_checkpoint(folders: Folders) -> None:
    vae(folders.vaes[0] / "other.safetensors")
    vae(folders.checkpoints[0] / "first.vae.safetensors")
    resolver = Resolver(ModelLibrary(folders), precision=as_fp32)

    def vae_of(name: str) -> str | None:
        found = resolver(GenerationRequest(vae=name)).vae
        return Path(found.path).name if found else None

    assert vae_of("Automatic") == "first.vae.safetensors"
    assert vae_of("None") is None
    assert vae_of("other.safetensors") == "other.safetensors"
    with pytest.raises(ModelNotFound, match="no-such-vae"):
        vae_of("no-such-vae")


@pytest.mark.parametrize(
    ("sampler", "schedule", "expected"),
    [
        ("DPM++ 2M", "Automatic", ("DPM++ 2M", "Automatic", "Karras")),
        ("Euler", "Automatic", ("Euler", "Automatic", "Automatic")),
        ("euler a", "karras", ("Euler a", "Karras", "Karras")),
        ("DPM++ 2M Karras", "", ("DPM++ 2M", "Karras", "Karras")),
        ("k_euler", "SGMUniform", ("Euler", "SGM Uniform", "SGM Uniform")),
    ],
)
def test_samplers_and_schedules_get_their_own_names(
    resolver: Resolver, sampler: str, schedule: str, expected: tuple[str, str, str]
) -> None:
    resolved = resolver(GenerationRequest(sampler=sampler, schedule=schedule))
    assert (resolved.request.sampler, resolved.request.schedule, resolved.schedule_label) == expected


def test_unknown_samplers_and_schedules_are_refused(resolver: Resolver) -> None:
    with pytest.raises(UnknownChoice, match="No Such Sampler"):
        resolver(GenerationRequest(sampler="No Such Sampler"))
    with pytest.raises(UnknownChoice, match="No Such Schedule"):
        resolver(GenerationRequest(schedule="No Such Schedule"))


def test_styles_become_text_and_comments_go(folders: Folders) -> None:
    styles = [Style("oil", "{prompt}, oil on canvas", "photo"), Style("dark", "at night")]
    resolver = Resolver(ModelLibrary(folders), precision=as_fp32, styles=lambda: styles)
    resolved = resolver(
        GenerationRequest(prompt="a cat # or two", negative_prompt="dog", styles=("oil", "dark"))
    ).request
    assert (resolved.negative_prompt, resolved.styles) == ("dog, photo", ())
    assert "oil on canvas" not in resolved.prompt  # the comment swallowed the rest of its line, as in A1111
    resolved = resolver(GenerationRequest(prompt="a cat", styles=("oil", "dark"))).request
    assert resolved.prompt == "a cat, oil on canvas, at night"


def test_auto_precision_is_the_servers(resolver: Resolver) -> None:
    assert resolver(GenerationRequest()).request.precision == "bf16"
    assert resolver(GenerationRequest(precision="fp32")).request.precision == "fp32"


def test_a_prompt_that_cannot_be_encoded_is_refused_at_once(resolver: Resolver) -> None:
    with pytest.raises(InvalidPrompt) as caught:
        resolver(GenerationRequest(prompt="[" + "a|" * 30_000 + "a]", steps=10_000))
    assert caught.value.field == "prompt"


def test_a_resolved_request_resolves_to_itself(resolver: Resolver) -> None:
    resolved = resolver(GenerationRequest(prompt="a cat", styles=("none such",), sampler="DPM++ 2M Karras"))
    assert resolver(resolved.request) == resolved


def test_hashes_are_added_before_the_first_infotext_and_stored(folders: Folders, tmp_path: Path) -> None:
    library = ModelLibrary(folders)
    store = Store(tmp_path / "jobs.sqlite3")
    resolver = Resolver(library, precision=as_fp32)
    job = store.add("anna", GenerationRequest(), resolver(GenerationRequest()))
    assert job.resolved.checkpoint.sha256 is None
    hashed = AddHashes(library, store)(job)
    expected = hashlib.sha256((folders.checkpoints[0] / "first.safetensors").read_bytes()).hexdigest()
    assert hashed.resolved.checkpoint.sha256 == expected
    assert store.get(job.id).resolved.checkpoint.sha256 == expected


def test_a_replaced_file_goes_without_a_hash(folders: Folders, tmp_path: Path) -> None:
    library = ModelLibrary(folders)
    store = Store(tmp_path / "jobs.sqlite3")
    job = store.add(
        "anna",
        GenerationRequest(),
        Resolver(library, precision=as_fp32)(GenerationRequest()),
    )
    file = folders.checkpoints[0] / "first.safetensors"
    file.write_bytes(file.read_bytes() + b"more")
    library.refresh()
    assert AddHashes(library, store)(job) == job


def test_a_checkpoint_that_lacks_a_part_is_no_default_while_there_is_a_whole_one(folders: Folders) -> None:
    (folders.checkpoints[0] / "first.safetensors").unlink()
    write_safetensors(folders.checkpoints[0] / "a.safetensors", {**SD1_UNET, **SD1_TEXT})
    checkpoint(folders.checkpoints[0] / "starter.safetensors")
    resolver = Resolver(ModelLibrary(folders), precision=as_fp32)
    assert resolver(GenerationRequest()).checkpoint_name == "starter"
    assert resolver(GenerationRequest(checkpoint="a")).checkpoint_name == "a"


def test_a_submitted_requests_files_are_hashed_in_the_background(folders: Folders) -> None:
    library = ModelLibrary(folders)
    resolved = Resolver(library, precision=as_fp32)(GenerationRequest())
    HashAhead(library)(resolved)
    library.hashes.later(lambda closing: "").result(timeout=10)  # one thread: what was asked before is done
    assert library.find("first").sha256 == hashlib.sha256(Path(resolved.checkpoint.path).read_bytes()).hexdigest()


def test_what_is_hashed_already_is_not_read_again(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModelLibrary(folders)
    library.hash(library.find("first"))
    begun: list[object] = []
    monkeypatch.setattr(library, "hash_later", begun.append)
    HashAhead(library)(Resolver(library, precision=as_fp32)(GenerationRequest(checkpoint="first")))
    assert begun == []
