"""Why a picture would come out differently: each factor by name, and nothing where there is none."""

from __future__ import annotations

import pytest

from app.schema.infotext import (
    PROGRAM,
    Difference,
    Lookups,
    NamedFile,
    Present,
    differences,
    read_infotext_text,
    request_from_infotext,
    write_infotext,
)
from app.schema.infotext.prompt_differences import prompt_difference
from app.schema.request import GenerationRequest

HASH = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
MODEL = NamedFile("v1-5", (HASH,))
LINE = (
    f"Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 5, Size: 512x768, "
    f"Model hash: {HASH[:10]}, Model: v1-5, RNG: CPU"
)
OURS = f"a cat, red\nNegative prompt: blurry\n{LINE}, Version: {PROGRAM}"
THEIRS = f"a cat, red\nNegative prompt: blurry\n{LINE}, Version: v1.10.1"
NOW = GenerationRequest(
    prompt="a cat, red",
    negative_prompt="blurry",
    sampler="Euler a",
    seed=5,
    width=512,
    height=768,
    checkpoint="v1-5",
    precision="fp32",
)
PRESENT = Present(NOW, MODEL)


def told(text: str, present: Present = PRESENT, lookups: Lookups | None = None) -> list[Difference]:
    infotext = read_infotext_text(text)
    return differences(infotext, request_from_infotext(infotext, lookups or Lookups()), present)


def one(text: str, label: str, present: Present = PRESENT, lookups: Lookups | None = None) -> Difference:
    (found,) = [difference for difference in told(text, present, lookups) if difference.label == label]
    return found


def changed(**fields: object) -> Present:
    return PRESENT._replace(request=NOW.model_copy(update=fields))


def test_our_own_recipe_with_the_same_form_has_no_difference() -> None:
    assert told(OURS) == []


def test_of_another_program_only_what_it_does_not_say_is_told_and_as_such() -> None:
    assert [(one.label, one.certain) for one in told(THEIRS)] == [("Precision", False), ("Version", False)]


@pytest.mark.parametrize(
    ("fields", "label", "theirs", "ours", "taken"),
    [
        ({"clip_skip": 2}, "Clip skip", "1", "2", ("clip_skip",)),
        ({"noise_seed_delta": 31337}, "Eta noise seed delta", "0", "31337", ("noise_seed_delta",)),
        ({"emphasis": "No norm"}, "Emphasis mode", "Original", "No norm", ("emphasis",)),
        ({"noise_source": "NV"}, "Random number source", "CPU", "NV", ("noise_source",)),
        ({"sampler": "Euler"}, "Sampling method", "Euler a", "Euler", ("sampler",)),
        ({"schedule": "Karras"}, "Schedule type", "Automatic", "Karras", ("schedule",)),
        ({"steps": 30}, "Sampling steps", "20", "30", ("steps",)),
        ({"cfg_scale": 7.5}, "CFG Scale", "7", "7.5", ("cfg_scale",)),
        ({"eta": 0.5}, "Eta", "the sampler's own", "0.5", ("eta",)),
        ({"tiling": True}, "Tiling", "off", "on", ("tiling",)),
        ({"width": 768}, "Size", "512x768", "768x768", ("width", "height")),
        ({"precision": "bf16"}, "Precision", "fp32", "bf16", ("precision",)),
        ({"prompt": "a cat"}, "Prompt", "red", "", ("prompt", "styles")),
        ({"negative_prompt": "blurry, dark"}, "Negative prompt", "", "dark", ("negative_prompt", "styles")),
        ({"seed": 6}, "Seed", "5", "6", ("seed",)),
    ],
)
def test_a_field_that_differs_is_named_and_can_be_taken_over(
    fields: dict[str, object], label: str, theirs: str, ours: str, taken: tuple[str, ...]
) -> None:
    (found,) = told(OURS, changed(**fields))
    assert (found.label, found.theirs, found.ours, found.fields, found.certain) == (label, theirs, ours, taken, True)
    assert found.words.endswith(".")


def test_a_form_that_draws_seeds_says_so() -> None:
    assert one(OURS, "Seed", PRESENT._replace(draws_seed=True)).ours == "-1"


@pytest.mark.parametrize(
    ("entries", "ours", "here", "words", "certain"),
    [
        (f"Model hash: {HASH[:10]}, Model: v1-5", NamedFile("other", ("ab" * 32,)), True, "Another checkpoint.", True),
        (f"Model hash: {HASH[:10]}", NamedFile("other", ("ab" * 32,)), False, "is not here", True),
        (f"Model hash: {HASH[:10]}, Model: v1-5", NamedFile("v1-5", ("ab" * 32,)), True, "of the same name", True),
        (f"Model hash: {HASH[:10]}, Model: v1-5", NamedFile("v1-5"), True, "not known yet", False),
        ("Model: v1-5", MODEL, True, "gives no hash", False),
        ("Model: other", MODEL, True, "Another checkpoint.", True),
        ("Seed: 5", MODEL, True, "does not say which checkpoint", False),
        ("Model hash: 81761151, Model: v1-5", MODEL, True, "not known yet", False),
        ("Model hash: 81761151, Model: v1-5", NamedFile("v1-5", (HASH, "00000000")), True, "of the same name", True),
    ],
)
def test_checkpoints_are_told_apart_by_hash_then_by_name(
    entries: str, ours: NamedFile, here: bool, words: str, certain: bool
) -> None:
    lookups = Lookups(checkpoint=lambda name: name if here else None)
    text = f"a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, {entries}"
    found = one(text, "Checkpoint", PRESENT._replace(checkpoint=ours), lookups)
    assert words in found.words
    assert found.certain == certain


@pytest.mark.parametrize("name", ["renamed", "v1-5"])
def test_a_checkpoint_of_another_name_and_the_same_hash_is_the_same(name: str) -> None:
    assert told(OURS, PRESENT._replace(checkpoint=NamedFile(name, (HASH,)))) == []
    assert told(OURS, PRESENT._replace(checkpoint=NamedFile(name, (HASH[:10],)))) == []


def test_vaes_are_told_apart() -> None:
    vae = NamedFile("soft.safetensors", ("cd" * 32,))
    named = OURS.replace(", RNG", f", VAE hash: {'cd' * 5}, VAE: soft.safetensors, RNG")
    assert told(named, PRESENT._replace(vae=vae)) == []
    assert one(named, "VAE").ours == "the checkpoint's own"
    assert one(OURS, "VAE", PRESENT._replace(vae=vae)).theirs == "the checkpoint's own"
    assert one(named, "VAE", PRESENT._replace(vae=NamedFile("hard.pt", ("ef" * 32,)))).words == "Another VAE."
    missing = Lookups(vae=lambda name: None)
    assert one(named, "VAE", lookups=missing).words.endswith("It is not here.")
    assert one(named, "VAE", lookups=missing).fields == ()


def test_loras_and_embeddings_are_told_by_their_hashes() -> None:
    text = OURS.replace(", RNG", ', Lora hashes: "pixel: 0123456789ab, ink: ba9876543210", TI hashes: "bad: 77', 1)
    text = text.replace("bad: 77", 'bad: 771122334455", RNG')
    here = {"pixel": NamedFile("pixel", ("0123456789ab",)), "bad": NamedFile("bad", ("1" * 64,))}
    found = {difference.label: difference for difference in told(text, PRESENT._replace(networks=here))}
    assert list(found) == ["LoRA ink", "Embedding bad"]
    assert found["LoRA ink"].ours == "not here"
    assert "of the same name" in found["Embedding bad"].words


def test_noise_from_a_graphics_card_is_said_to_depend_on_it() -> None:
    text = THEIRS.replace(", RNG: CPU", "")
    assert "choose" not in one(text, "Random number source").words
    assert "NV" in one(text, "Random number source").words
    alike = one(text, "Random number source", changed(noise_source="GPU"))
    assert (alike.theirs, alike.ours, alike.certain) == ("GPU", "GPU", False)


def test_sharing_a_model_call_is_told_as_rounding() -> None:
    found = one(OURS, "Batch size", PRESENT._replace(batch_size=4))
    assert (found.theirs, found.ours, found.certain) == ("not said", "4", False)


def test_entries_that_this_program_does_not_act_on_are_named() -> None:
    text = THEIRS.replace(", Version", ', ControlNet 0: "Module: canny, Model: x", Token merging ratio: 0.5, Version')
    labels = {difference.label for difference in told(text) if difference.certain}
    assert "ControlNet 0" in labels
    assert "Created Date" not in {one.label for one in told(text + ", Created Date: now")}


def test_another_program_is_named() -> None:
    infotext = read_infotext_text(
        '{"steps": 20, "uc": "x", "scale": 7, "seed": 5, "sampler": "k_euler", "prompt": "a"}'
    )
    found = differences(infotext, request_from_infotext(infotext), PRESENT)
    assert "NovelAI" in next(one.words for one in found if one.label == "Program")


def test_what_certainly_differs_comes_first() -> None:
    certain = [one.certain for one in told(THEIRS, changed(steps=30, clip_skip=2)._replace(batch_size=2))]
    assert certain == sorted(certain, reverse=True)
    assert sum(certain) == 2


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        ("a, b", "b, a", "The same phrases in another order."),
        ("a,  b", "a, b", "Only blanks or commas differ."),
        ("a, b, c", "a", "2 phrases only in the file."),
        ("a, a", "a", "One phrase only in the file."),
        ("a\nb", "a, c", "One phrase only in the file and one phrase only here."),
    ],
)
def test_prompts_differ_by_phrases(theirs: str, ours: str, words: str) -> None:
    found = prompt_difference(theirs, ours)
    assert found is not None
    assert found.words == words
    assert prompt_difference(theirs, theirs) is None


def test_nothing_to_compare_with_is_no_difference_but_the_prompt_and_model() -> None:
    assert {one.label for one in told("")} == {"Checkpoint", "Prompt", "Negative prompt"}
    assert told(write_infotext("a cat, red", "blurry", []))[0].label == "Checkpoint"
