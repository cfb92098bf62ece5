"""Request -> infotext -> request loses nothing that acts on the picture."""

from __future__ import annotations

from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from app.schema.choices import AUTOMATIC, SAMPLER_NAMES, SCHEDULE_NAMES, find_sampler
from app.schema.control import Control
from app.schema.infotext.lookups import Lookups
from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.request import PastedRequest, request_from_infotext
from app.schema.infotext.text import write_infotext
from app.schema.infotext.writer import picture_entries, picture_request
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest


class Hires(BaseModel):
    """What an extension may declare: a size, a name, a number, a text, and a value without a key."""

    model_config = ConfigDict(extra="forbid")

    upscale: Annotated[float, Control("Upscale by", infotext="Hires upscale")] = 2.0
    width: Annotated[int, Control("Resize width to", infotext="Hires resize-1")] = 0
    height: Annotated[int, Control("Resize height to", infotext="Hires resize-2")] = 0
    sampler: Annotated[str, Control("Hires sampler", infotext="Hires sampler")] = "Use same sampler"
    prompt: Annotated[str, Control("Hires prompt", infotext="Hires prompt")] = ""
    steps: Annotated[int, Control("Hires steps", infotext="Hires steps")] = 0
    exact: Annotated[bool, Control("Exact", infotext="Hires exact")] = True
    clash: Annotated[str, Control("Clash", infotext="Clip skip")] = ""
    mood: str | None = None


MODELS = {"hires": Hires}

NASTY = (
    "Negative prompt: ",
    "negative prompt:",
    "Steps: 20, Sampler: Euler a, CFG scale: 7",
    "Version: Easel 1",
    "\n",
    "\r\n",
    "\t ",
    ', "a": [{',
    "\\",
    '"',
    "(cat:1.2)",
    "<lora:x:0.5>",
    "# no comment\n",
    "猫",
    "a",
)
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
prompts = st.lists(st.sampled_from(NASTY) | st.text(characters, max_size=5), max_size=6).map("".join)
floats = st.floats(0, 1000, allow_nan=False)
seeds = st.integers(0, 2**64 - 1)
lengths = st.integers(8, 16_384)
any_text = st.text(max_size=8) | st.sampled_from(("Hires sampler", " a", '"b"', "[1]", "5x6", "None"))

hires_values = st.fixed_dictionaries(
    {},
    optional={
        "upscale": floats,
        "width": st.integers(-1, 9000),
        "height": st.integers(0, 9000),
        "sampler": any_text,
        "prompt": any_text,
        "steps": st.integers(),
        "exact": st.booleans(),
        "clash": any_text,
        "mood": st.none() | any_text,
    },
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | floats | any_text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(any_text, inner, max_size=2),
    max_leaves=4,
)
extensions = st.fixed_dictionaries(
    {}, optional={"hires": hires_values, "other": st.dictionaries(any_text, json_values, max_size=3)}
)


options = st.fixed_dictionaries(
    {},
    optional={
        "sdxl_clip_l_skip": st.booleans(),
        "prompt_comments": st.booleans(),
        "ignore_network_tags": st.booleans(),
        "comma_backtrack": st.integers(0, 74),
        "old_prompt_editing": st.booleans(),
        "crop_top": st.integers(0, 16_384),
        "crop_left": st.integers(0, 16_384),
        "aesthetic_score": st.floats(0, 100),
        "negative_aesthetic_score": st.floats(0, 100),
        "cfg_rescale": st.floats(0, 1),
        "guidance_minimum_sigma": floats,
        "guidance_minimum_all_steps": st.booleans(),
        "skip_early_guidance": st.floats(0, 1),
        "pad_prompts": st.booleans(),
        "pad_prompts_v0": st.booleans(),
        "sigma_min": floats,
        "sigma_max": floats,
        "rho": floats,
        "old_karras_sigmas": st.booleans(),
        "discard_next_to_last_sigma": st.booleans(),
        "sgm_noise_multiplier": st.booleans(),
        "quantize_timesteps": st.booleans(),
        "noise_schedule": st.sampled_from(("Default", "Zero Terminal SNR")),
        "downcast_alphas": st.booleans(),
        "beta_alpha": st.floats(0.01, 100),
        "beta_beta": st.floats(0.01, 100),
        "unipc_variant": st.sampled_from(("bh1", "bh2", "vary_coeff")),
        "unipc_skip_type": st.sampled_from(("time_uniform", "time_quadratic", "logSNR")),
        "unipc_order": st.integers(1, 50),
        "unipc_lower_order_final": st.booleans(),
        "inpainting_mask_weight": st.floats(0, 1),
        "token_merging_ratio": st.floats(0, 0.9),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {
            "prompt": draw(prompts),
            "negative_prompt": draw(prompts),
            "sampler": draw(st.sampled_from([sampler.name for sampler in SAMPLER_NAMES])),
            "schedule": draw(st.sampled_from([schedule.label for schedule in SCHEDULE_NAMES])),
            "vae": draw(st.sampled_from((AUTOMATIC, "None"))),
            "steps": draw(st.integers(1, 10_000)),
            "width": draw(lengths),
            "height": draw(lengths),
            "batch_count": draw(st.integers(1, 4)),
            "cfg_scale": draw(floats),
            "variation_strength": draw(st.floats(0, 1)),
            "seed_resize_width": draw(st.just(0) | lengths),
            "seed_resize_height": draw(st.just(0) | lengths),
            "clip_skip": draw(st.integers(1, 12)),
            "emphasis": draw(st.sampled_from(("Original", "No norm", "Ignore", "None"))),
            "noise_source": draw(st.sampled_from(("CPU", "GPU", "NV"))),
            "eta": draw(st.none() | st.just(1.0) | st.floats(0, 10)),
            "noise_seed_delta": draw(st.integers(0, 2**32)),
            "s_churn": draw(floats),
            "s_tmin": draw(floats),
            "s_tmax": draw(floats),
            "s_noise": draw(floats),
            "tiling": draw(st.booleans()),
            "precision": draw(st.sampled_from(("fp32", "bf16", "fp16"))),
            "save_images": draw(st.booleans()),
            "extensions": draw(extensions),
            **draw(options),
        }
    )


@st.composite
def plans(draw: st.DrawFn) -> ImagePlan:
    """One picture of a job as the resolver leaves it."""
    request = draw(requests())
    sha256 = draw(st.none() | st.sampled_from(("ab" * 32, "0" * 64)))
    name = draw(st.sampled_from(("v1-5-pruned", "Model", "a, b: c", "アニメ", "[x] 512x512")))
    vae = draw(st.none() | st.just("models/VAE/kl, f8.safetensors"))
    default = find_sampler(request.sampler).default_schedule
    resolved = ResolvedRequest(
        request=request.model_copy(update={"checkpoint": name, "vae": vae or request.vae}),
        checkpoint=FileIdentity(path=f"models/{name}.safetensors", size=1, mtime_ns=1, sha256=sha256),
        checkpoint_name=name,
        vae=FileIdentity(path=vae, size=1, mtime_ns=1, sha256=draw(st.none() | st.just("cd" * 32))) if vae else None,
        schedule_label=(request.schedule == AUTOMATIC and default) or request.schedule,
    )
    return ImagePlan("job", "anna", 0, 0, draw(seeds), draw(seeds), resolved)


def pasted(plan: ImagePlan, text: str) -> PastedRequest:
    """The text read on the machine that wrote it."""
    wanted = picture_request(plan)
    sha256 = plan.resolved.checkpoint.sha256
    known = {plan.resolved.checkpoint_name, sha256[:10] if sha256 else "", wanted.checkpoint}
    lookups = Lookups(
        checkpoint=lambda name: wanted.checkpoint if name in known else None,
        vae=lambda name: wanted.vae if name in ("kl, f8.safetensors", "cdcdcdcdcd") else None,
    )
    return request_from_infotext(read_infotext_text(text), lookups, MODELS)


def meant(values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The extensions' values as the extensions take them."""
    return {name: Hires.model_validate(given) if name == "hires" else given for name, given in values.items()}


@settings(deadline=None, max_examples=150)
@given(plans())
def test_a_request_comes_back_from_the_infotext_of_its_picture(plan: ImagePlan) -> None:
    request = picture_request(plan)
    text = write_infotext(request.prompt, request.negative_prompt, picture_entries(plan, models=MODELS))
    result = pasted(plan, text)
    again = GenerationRequest.model_validate(result.fields)
    assert again.model_copy(update={"extensions": {}}) == request.model_copy(update={"extensions": {}})
    assert meant(again.extensions) == meant(request.extensions)
    assert result.leftover == {}
    assert result.notes == ()


@settings(deadline=None, max_examples=150)
@given(plans())
def test_an_infotext_of_ours_is_written_again_to_the_letter(plan: ImagePlan) -> None:
    request = picture_request(plan)
    text = write_infotext(request.prompt, request.negative_prompt, picture_entries(plan, models=MODELS))
    assert read_infotext_text(text).text() == text
