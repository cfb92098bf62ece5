"""Which entries a picture gets: A1111's, in its order, and nothing that does not act on the picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from app.schema.choices import AUTOMATIC, find_sampler
from app.schema.control import Control
from app.schema.infotext.keys import places
from app.schema.infotext.pairs import KEY
from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.request import request_from_infotext
from app.schema.infotext.text import PROGRAM, write_infotext
from app.schema.infotext.writer import picture_entries, picture_request
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "infotexts.json").read_text("utf-8"))
WHOLE = re.compile(r"(: \d+)\.0(?=,)")
SHA256 = "8ac1dfeb94" + "0" * 54


class Outline(BaseModel):
    """What an extension declares: one value with a key, one without."""

    strength: Annotated[float, Control("Strength", infotext="Outline strength")] = 0.0
    colour: str = "black"


def plan(request: GenerationRequest, *, vae: str | None = None, name: str = "parity-sd15") -> ImagePlan:
    default = find_sampler(request.sampler).default_schedule
    resolved = ResolvedRequest(
        request=request,
        checkpoint=FileIdentity(path=f"{name}.safetensors", size=1, mtime_ns=1, sha256=SHA256),
        checkpoint_name=name,
        vae=FileIdentity(path=vae, size=1, mtime_ns=1, sha256="cd" * 32) if vae else None,
        schedule_label=(request.schedule == AUTOMATIC and default) or request.schedule,
    )
    return ImagePlan("job", "anna", 0, 0, max(request.seed, 0), max(request.variation_seed, 0), resolved)


def made(**fields: object) -> ImagePlan:
    return plan(GenerationRequest.model_validate({"prompt": "a cat", "precision": "fp32", **fields}))


def entries(**fields: object) -> dict[str, object]:
    return {key: value for key, value in picture_entries(made(**fields)) if value is not None}


def test_a_plain_picture_has_the_entries_that_are_always_there() -> None:
    assert entries(seed=5, noise_source="GPU") == {
        "Steps": 20,
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": 7.0,
        "Seed": 5,
        "Size": "512x512",
        "Model hash": "8ac1dfeb94",
        "Model": "parity-sd15",
        "Version": PROGRAM,
    }


@pytest.mark.parametrize("text", GOLDEN["pictures"], ids=lambda text: text[-60:])
def test_what_a1111_wrote_about_a_picture_is_written_by_the_request_that_it_gives(text: str) -> None:
    """Order and omissions included; whole numbers without '.0', as A1111's page writes them, and our own version."""
    infotext = read_infotext_text(text)
    pasted = request_from_infotext(infotext)
    redrawn = {"init_images": ("0" * 64,)} if "Denoising strength" in infotext.fields else {}
    masked = {"mask": "0" * 64} if "Mask blur" in infotext.fields else {}
    request = GenerationRequest.model_validate(pasted.fields | redrawn | masked)
    whole = plan(request, name=infotext.fields["Model"])
    checkpoint = FileIdentity(path="x", size=1, mtime_ns=1, sha256=infotext.fields["Model hash"] + "0" * 54)
    whole = whole._replace(resolved=whole.resolved.model_copy(update={"checkpoint": checkpoint}))
    found_out = ("Lora hashes", "TI hashes", "Conditional mask weight")
    facts = [*((key, infotext.fields[key]) for key in found_out if key in infotext.fields), *pasted.leftover.items()]
    written = write_infotext(request.prompt, request.negative_prompt, picture_entries(whole, facts))
    expected = text.replace("Version: 1.10.1", f"Version: {PROGRAM}")
    assert re.sub(WHOLE, r"\1", written) == re.sub(WHOLE, r"\1", expected)


def test_the_built_in_vae_is_named_where_it_was_asked_for() -> None:
    assert entries(vae="None")["VAE"] == "None"
    assert "VAE" not in entries(vae=AUTOMATIC)
    with_file = dict(picture_entries(plan(GenerationRequest(), vae="models/VAE/kl-f8.pt")))
    assert (with_file["VAE hash"], with_file["VAE"]) == ("cdcdcdcdcd", "kl-f8.pt")


def test_variation_and_resized_seeds_are_written_only_together() -> None:
    assert "Variation seed" not in entries(variation_seed=9)
    varied = entries(variation_seed=9, variation_strength=0.5)
    assert (varied["Variation seed"], varied["Variation seed strength"]) == (9, 0.5)
    assert "Seed resize from" not in entries(seed_resize_width=640)
    assert entries(seed_resize_width=640, seed_resize_height=384)["Seed resize from"] == "640x384"


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"sampler": "Euler a"}, True),
        ({"sampler": "Euler a", "eta": 0.0}, False),
        ({"sampler": "Euler"}, False),
        ({"sampler": "Euler", "s_churn": 1.0}, True),
        ({"sampler": "LCM"}, True),
        ({"sampler": "DDIM"}, False),
        ({"sampler": "DDIM", "eta": 0.5}, True),
        ({"sampler": "DPM++ SDE"}, False),
    ],
)
def test_the_noise_seed_delta_is_written_where_noise_is_drawn(fields: dict[str, object], written: bool) -> None:
    assert ("ENSD" in entries(noise_seed_delta=31337, **fields)) is written


def test_eta_is_written_where_it_is_read_and_not_the_samplers_own() -> None:
    assert entries(sampler="Euler a", eta=0.5)["Eta"] == 0.5
    assert entries(sampler="DDIM", eta=0.5)["Eta DDIM"] == 0.5
    for sampler, eta in (("Euler a", 1.0), ("Euler", 0.5), ("DDIM", 0.0), ("UniPC", 0.5)):
        assert not {"Eta", "Eta DDIM"} & entries(sampler=sampler, eta=eta).keys()


def test_emphasis_is_written_where_a_prompt_may_use_it() -> None:
    assert "Emphasis" not in entries(emphasis="No norm")
    assert entries(emphasis="No norm", negative_prompt="(x)")["Emphasis"] == "No norm"
    assert "Emphasis" not in entries(negative_prompt="(x)")


def test_precision_is_written_unless_it_is_full() -> None:
    assert "Precision" not in entries()
    assert entries(precision="bf16")["Precision"] == "bf16"


def test_what_the_run_found_out_wins_and_stands_in_its_place() -> None:
    facts = [("Lora hashes", "x: 1"), ("Odd", "1"), ("Clip skip", "3")]
    written = [key for key, _ in picture_entries(made(prompt="(x)", emphasis="None", clip_skip=2), facts)]
    assert written[-2:] == ["Odd", "Version"]
    assert written.index("Lora hashes") < written.index("Emphasis")
    assert dict(picture_entries(made(clip_skip=2), facts))["Clip skip"] == "3"


def test_an_extensions_values_stand_under_their_keys_and_the_rest_as_json() -> None:
    models = {"outline": Outline}
    with_key = made(extensions={"outline": {"strength": 0.5}})
    assert dict(picture_entries(with_key, models=models))["Outline strength"] == 0.5
    assert "Extension settings" not in dict(picture_entries(with_key, models=models))
    without = made(extensions={"outline": {"strength": 0.5, "colour": "red"}, "gone": {"a": [1]}})
    said = dict(picture_entries(without, models=models))
    assert (said["Outline strength"], said["Extension settings"]) == (
        0.5,
        '{"outline": {"colour": "red"}, "gone": {"a": [1]}}',
    )


def test_values_that_the_extension_would_refuse_travel_as_json() -> None:
    said = dict(picture_entries(made(extensions={"outline": {"strength": "strong"}}), models={"outline": Outline}))
    assert ("Outline strength" in said, said["Extension settings"]) == (False, '{"outline": {"strength": "strong"}}')


def test_the_request_of_a_picture_makes_that_one_alone() -> None:
    request = GenerationRequest(batch_count=3, batch_size=2, styles=("x",), seed=5, variation_seed=9, save_images=False)
    one = picture_request(plan(request)._replace(seed=8))
    assert (one.batch_count, one.batch_size, one.styles, one.seed, one.variation_seed) == (1, 1, (), 8, -1)
    assert (one.checkpoint, one.vae, one.save_images) == ("parity-sd15 [8ac1dfeb94]", AUTOMATIC, True)


def test_every_key_of_a_control_can_be_read_again() -> None:
    assert [key for key in places() if not KEY.fullmatch(key)] == []
