"""Names and hashes in infotexts find this machine's files, and only the files that are meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.files import CHECKPOINT, Folders, ModelLibrary
from app.jobs import Resolver, lookups_of, network_with_hash
from app.language import Style
from app.schema.choices import BUILT_IN, Choices, SamplerName, ScheduleName
from app.schema.errors import ModelNotFound, UnknownChoice
from app.schema.infotext import picture_entries, read_infotext_text, request_from_infotext, write_infotext
from app.schema.request import GenerationRequest, ImagePlan
from tests.api.serving import SHAPES
from tests.files.making import write_safetensors

LORA_SHAPES = {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 8)}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[ModelLibrary]:
    folders = Folders.of(data_dir=tmp_path, program_dir=tmp_path / "program")
    folders.create()
    write_safetensors(folders.checkpoints[0] / "concatenate.safetensors", SHAPES)
    write_safetensors(folders.loras[0] / "ink.safetensors", LORA_SHAPES, metadata={"sshs_model_hash": "AB12" * 16})
    library = ModelLibrary(folders)
    yield library
    library.close()


def resolver(library: ModelLibrary, *styles: Style) -> Resolver:
    return Resolver(library, precision=lambda wanted: wanted, styles=lambda: styles)


def test_a_checkpoint_is_found_by_hash_or_name_and_not_by_a_part_of_its_name(library: ModelLibrary) -> None:
    find = lookups_of(resolver(library)).checkpoint
    sha256 = library.hash(library.find("concatenate", CHECKPOINT))
    assert [find(text) for text in (sha256, sha256[:10], "concatenate", "Concatenate.safetensors".lower())] == [
        "concatenate.safetensors"
    ] * 4
    assert find("cat") is None
    with pytest.raises(ModelNotFound):
        find("0123456789")


def test_the_checkpoint_can_be_left_as_it_is(library: ModelLibrary) -> None:
    assert lookups_of(resolver(library), checkpoint=False).checkpoint("concatenate") is None


def test_a_lora_is_found_by_the_beginning_of_any_of_its_hashes(library: ModelLibrary) -> None:
    file = network_with_hash(library, "ab12ab12ab12")
    assert file is not None
    assert (file.stem, lookups_of(resolver(library)).network("ab12ab12ab12")) == ("ink", "ink")
    assert [network_with_hash(library, text) for text in ("ab12", "ab12ab12ab13", "")] == [None] * 3


def test_styles_are_searched_for_unless_they_are_left_alone(library: ModelLibrary) -> None:
    known = resolver(library, Style("oil", "oil on canvas"))
    extract = lookups_of(known).extract_styles
    assert extract is not None
    assert tuple(extract("a cat, oil on canvas", "")) == (("oil",), "a cat", "")
    assert lookups_of(known, styles=False).extract_styles is None


def test_samplers_and_schedules_of_extensions_are_written_and_read_back(library: ModelLibrary) -> None:
    choices = Choices(
        (*BUILT_IN.samplers, SamplerName("Midpoint", ("k_midpoint",), "Karras")),
        (*BUILT_IN.schedules, ScheduleName("Quadratic", "quadratic")),
    )
    known = replace(resolver(library), choices=choices)
    for sampler, schedule in (("k_midpoint", "quadratic"), ("Midpoint", "Automatic"), ("Euler", "Quadratic")):
        resolved = known(GenerationRequest(sampler=sampler, schedule=schedule, seed=1))
        text = write_infotext("", "", picture_entries(ImagePlan("job", "ann", 0, 0, 1, 0, resolved)))
        pasted = request_from_infotext(read_infotext_text(text), lookups_of(known))
        again = known(GenerationRequest(**pasted.fields))
        assert (again.request.sampler, again.schedule_label) == (resolved.request.sampler, resolved.schedule_label)
        assert pasted.leftover == {}
    with pytest.raises(UnknownChoice, match="There is no sampler called 'Midpoint'"):
        resolver(library)(GenerationRequest(sampler="Midpoint"))
