"""From a pasted text to the fields of a request: names, files, old versions, and what cannot be used."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel

from app.language import Style, extract_styles
from app.schema.control import Control
from app.schema.errors import ModelNotFound
from app.schema.faces import NO_CODEFORMER
from app.schema.infotext.lookups import Lookups
from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.request import PastedRequest, request_from_infotext
from app.schema.request import GenerationRequest

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768"


class Upscaling(BaseModel):
    """An extension with the keys of hires fix."""

    width: Annotated[int, Control("Width", infotext="Hires resize-1")] = 0
    height: Annotated[int, Control("Height", infotext="Hires resize-2")] = 0
    by: Annotated[float, Control("Upscale by", infotext="Hires upscale")] = 2.0


class Strict(BaseModel):
    """One that cannot do without a value that infotexts do not have."""

    needed: str
    given: Annotated[int, Control("Given", infotext="Given")] = 0


def pasted(
    text: str, lookups: Lookups | None = None, models: dict[str, type[BaseModel]] | None = None
) -> PastedRequest:
    return request_from_infotext(read_infotext_text(text), lookups or Lookups(), models or {})


def test_the_core_entries_become_fields_of_their_types() -> None:
    result = pasted(f"a cat\nNegative prompt: dog\n{LINE}, Clip skip: 2, RNG: NV, Tiling: True, Eta: 0.5, ENSD: 31337")
    request = GenerationRequest.model_validate(result.fields)
    assert (request.prompt, request.negative_prompt, request.steps, request.cfg_scale) == ("a cat", "dog", 20, 7.0)
    assert (request.sampler, request.schedule, request.seed) == ("Euler a", "Automatic", 1)
    assert (request.width, request.height, request.clip_skip, request.noise_source) == (512, 768, 2, "NV")
    assert (request.tiling, request.eta, request.noise_seed_delta) == (True, 0.5, 31337)
    assert (result.leftover, result.notes) == ({}, ())


@pytest.mark.parametrize(
    ("entries", "sampler", "schedule"),
    [
        ("Sampler: DPM++ 2M Karras", "DPM++ 2M", "Automatic"),
        ("Sampler: DPM++ 2M, Schedule type: Karras", "DPM++ 2M", "Automatic"),
        ("Sampler: DPM++ SDE Exponential", "DPM++ SDE", "Exponential"),
        ("Sampler: Euler, Schedule type: SGM Uniform", "Euler", "SGM Uniform"),
        ("Sampler: k_euler_a, Scheduler: karras", "Euler a", "Karras"),
    ],
)
def test_samplers_of_any_age_are_split_from_their_schedule(entries: str, sampler: str, schedule: str) -> None:
    fields = pasted(f"a\nSteps: 5, Seed: 1, {entries}").fields
    assert (fields["sampler"], fields["schedule"]) == (sampler, schedule)


def test_an_absent_entry_means_its_neutral_value_unless_it_is_always_written() -> None:
    fields = pasted("a\nSteps: 5, Seed: 1, CFG scale: 3").fields
    assert (fields["clip_skip"], fields["noise_source"], fields["tiling"], fields["eta"]) == (1, "GPU", False, None)
    assert not {"sampler", "schedule", "width", "height", "checkpoint", "vae", "precision"} & fields.keys()


def test_a_prompt_alone_sets_nothing_else() -> None:
    assert pasted("just a prompt").fields == {"prompt": "just a prompt", "negative_prompt": ""}


def test_seeds_that_were_varied_and_resized() -> None:
    fields = pasted(f"a\n{LINE}, Variation seed: 9, Variation seed strength: 0.25, Seed resize from: 640x384").fields
    assert (fields["variation_seed"], fields["variation_strength"]) == (9, 0.25)
    assert (fields["seed_resize_width"], fields["seed_resize_height"]) == (640, 384)


def test_a_checkpoint_is_found_by_its_hash_else_by_its_name() -> None:
    text = f"a\n{LINE}, Model hash: 6ce0161689, Model: v1-5"
    by_hash = Lookups(checkpoint={"6ce0161689": "here [6ce0161689]", "v1-5": "other"}.get)
    assert pasted(text, by_hash).fields["checkpoint"] == "here [6ce0161689]"
    assert pasted(text, Lookups(checkpoint={"v1-5": "v1-5"}.get)).fields["checkpoint"] == "v1-5"
    civitai = f'a\n{LINE}, Hashes: {{"model": "6ce0161689", "vae": "aa"}}'
    assert pasted(civitai, by_hash).fields["checkpoint"] == "here [6ce0161689]"


def test_a_checkpoint_that_is_not_here_stays_over_with_a_note() -> None:
    def find(name: str) -> str | None:
        raise ModelNotFound(f"There is no checkpoint named '{name}'.")

    result = pasted(f"a\n{LINE}, Model hash: 6ce0161689, Model: v1-5", Lookups(checkpoint=find))
    assert "checkpoint" not in result.fields
    assert result.leftover == {"Model hash": "6ce0161689", "Model": "v1-5"}
    assert [note.text for note in result.notes] == [
        "The checkpoint 'v1-5' [6ce0161689] is not here; the one chosen stays."
    ]


def test_vaes_by_hash_by_word_and_as_forges_modules() -> None:
    here = Lookups(vae={"c6a580b13a": "kl-f8.pt", "ae": "ae.safetensors"}.get)
    assert pasted(f"a\n{LINE}, VAE hash: c6a580b13a, VAE: x.pt", here).fields["vae"] == "kl-f8.pt"
    assert pasted(f"a\n{LINE}, VAE: None", here).fields["vae"] == "None"
    forge = pasted(f"a\n{LINE}, Module 1: clip_l, Module 2: ae", here)
    assert (forge.fields["vae"], forge.leftover, forge.notes) == ("ae.safetensors", {"Module 1": "clip_l"}, ())
    missing = pasted(f"a\n{LINE}, VAE: gone.pt", here)
    assert ("vae" in missing.fields, missing.leftover, missing.notes[0].key) == (False, {"VAE": "gone.pt"}, "VAE")


def test_faces_that_codeformer_restored_are_left_out_with_its_licence() -> None:
    class Faces(BaseModel):
        model: Annotated[str, Control("Restorer", choices="face_restorers", infotext="Face restoration")] = "GFPGAN"

    def read(name: str) -> PastedRequest:
        infotext = read_infotext_text(f"a\n{LINE}, Face restoration: {name}")
        return request_from_infotext(infotext, models={"faces": Faces})

    assert read("GFPGAN").fields["extensions"] == {"faces": {"model": "GFPGAN"}}
    refused = read("CodeFormer")
    assert "extensions" not in refused.fields
    assert refused.leftover == {}
    [note] = refused.notes
    assert (note.key, note.text) == ("Face restoration", NO_CODEFORMER)


def test_unknown_entries_stay_over_as_they_were() -> None:
    result = pasted(f'a\n{LINE}, ADetailer prompt: "a face, smiling", Hires resize: 1024x1024, Template: "a: b"')
    assert result.leftover == {"ADetailer prompt": "a face, smiling", "Hires resize": "1024x1024", "Template": "a: b"}


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("Sampler: Undefined", "sampler"),
        ("Steps: many", "steps"),
        ("Seed: 99999999999999999999999", "seed"),
        ("Clip skip: 0", "clip_skip"),
        ("Emphasis: Loud", "emphasis"),
        ("Variation seed strength: 7", "variation_strength"),
    ],
)
def test_a_value_that_cannot_be_used_stays_over_with_a_note(entry: str, field: str) -> None:
    key, _, value = entry.partition(": ")
    result = pasted(f"a\nSteps: 20, Seed: 1, CFG scale: 7, Size: 8x8, {entry}")
    assert field not in result.fields
    assert result.leftover == {key: value}
    assert [note.key for note in result.notes] == [key]


def test_other_capitals_and_the_labels_of_fields_are_understood() -> None:
    result = pasted("a\nsteps: 5, Sampling method: Euler, CFG Scale: 3, seed : 4, Width: 64, Height: 128, clip Skip: 2")
    wanted = {"steps": 5, "sampler": "Euler", "cfg_scale": 3.0, "seed": 4, "width": 64, "height": 128, "clip_skip": 2}
    assert wanted.items() <= result.fields.items()
    assert result.leftover == {}


def test_of_two_spellings_the_exact_one_counts() -> None:
    result = pasted(f"a\n{LINE}, CFG Scale: 3")
    assert (result.fields["cfg_scale"], result.leftover) == (7.0, {"CFG Scale": "3"})


def test_old_first_passes_swap_the_sizes() -> None:
    result = pasted(
        "a\nSteps: 5, Seed: 1, Size: 1024x768, First pass size: 0x0, Denoising strength: 0.7",
        models={"upscaling": Upscaling},
    )
    assert (result.fields["width"], result.fields["height"]) == (640, 448)
    assert result.fields["extensions"] == {"upscaling": {"width": 1024, "height": 768}}


def test_ddims_eta_has_its_own_key_and_an_older_one() -> None:
    line = "Steps: 5, Seed: 1, CFG scale: 7, Sampler:"
    assert pasted(f"a\n{line} DDIM, Eta DDIM: 0.5").fields["eta"] == 0.5
    assert pasted(f"a\n{line} DDIM, Eta: 0.5").fields["eta"] == 0.5
    ancestral = pasted(f"a\n{line} Euler a, Eta DDIM: 0.5")
    assert (ancestral.fields["eta"], ancestral.leftover) == (None, {"Eta DDIM": "0.5"})


def test_styles_are_found_in_the_prompts() -> None:
    styles = [Style("Photo", "photo of {prompt}, 35mm")]
    lookups = Lookups(extract_styles=lambda prompt, negative: extract_styles(prompt, negative, styles))
    fields = pasted(f"photo of a cat, 35mm\n{LINE}", lookups).fields
    assert (fields["styles"], fields["prompt"]) == (("Photo",), "a cat")


def test_networks_become_tags_by_their_local_names() -> None:
    lookups = Lookups(network={"aaaaaaaaaaaa": "mine", "bbbbbbbbbb": "yours"}.get)
    text = (
        f'<lora:foo:0.8> <lora:bar:1>\n{LINE}, Hypernet: anime, Lora hashes: "foo: aaaaaaaaaaaa", '
        'Hashes: {"lora:bar": "bbbbbbbbbb"}, AddNet Module 1: LoRA, AddNet Model 1: ink(0a1b), AddNet Weight A 1: 0.6'
    )
    result = pasted(text, lookups)
    assert result.fields["prompt"] == "<lora:mine:0.8> <lora:yours:1><hypernet:anime:1.0>\n<lora:ink:0.6>"
    assert result.leftover == {}


def test_an_old_version_sets_the_fields_that_do_as_it_did() -> None:
    result = pasted(f"[a]\n{LINE.replace('Euler a', 'DDIM')}, Version: v1.5.1")
    assert {
        "old_prompt_editing": True,
        "downcast_alphas": True,
        "pad_prompts_v0": True,
    }.items() <= result.fields.items()
    assert result.notes == ()


def test_old_behaviour_that_is_missing_here_is_said() -> None:
    notes = pasted(f"[a]\n{LINE}, Refiner: b, Version: v1.7.0").notes
    assert "Refiner switch by sampling steps" in [note.key for note in notes]


def test_an_extensions_keys_become_its_values() -> None:
    models = {"upscaling": Upscaling, "strict": Strict}
    result = pasted(f"a\n{LINE}, Hires resize: 1024x512, Hires upscale: lots, Given: 3", models=models)
    assert result.fields["extensions"] == {"upscaling": {"width": 1024, "height": 512}}
    assert result.leftover == {"Hires upscale": "lots", "Given": "3"}
    assert [note.key for note in result.notes] == ["Hires upscale", "Given"]


def test_broken_extension_settings_stay_over() -> None:
    for text in ("{", "[1]", '{"a": 1}'):
        result = pasted(f"a\n{LINE}, Extension settings: {text}")
        assert ("extensions" in result.fields, result.leftover) == (False, {"Extension settings": text})


def test_another_programs_picture_comes_with_a_note() -> None:
    text = '{"app_version": "4", "positive_prompt": "a", "scheduler": "euler", "steps": 5, "seed": 1}'
    assert pasted(text).notes[0].text == "Made with InvokeAI: the picture will be similar, not the same."


def test_a_prompt_that_is_too_long_is_left_out_with_a_note() -> None:
    result = pasted(f"{'a' * 70_000}\n{LINE}")
    assert ("prompt" in result.fields, result.fields["steps"]) == (False, 20)
    assert [note.key for note in result.notes] == ["prompt"]
