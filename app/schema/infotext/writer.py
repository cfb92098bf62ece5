"""Which entries a picture's infotext has: its request's, and what the run found out.

AUTOMATIC1111's order and omissions (a1111-facts 4.2). What cannot change the picture is left out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from app.schema.choices import AUTOMATIC, SamplerName, find_sampler, split_sampler_name
from app.schema.control import controls_of
from app.schema.errors import UnknownChoice
from app.schema.infotext.keys import (
    A1111_DEFAULTS,
    ABSENT,
    ALWAYS_WRITTEN,
    EXTENSION_SETTINGS,
    NO_MODELS,
    ORDER,
    OTHER_KEYS,
    SHARED,
    UNSAID,
    Models,
    checked,
    places,
)
from app.schema.infotext.pairs import KEY
from app.schema.infotext.text import PROGRAM, PROMPT_LINES, Entry
from app.schema.picture_fields import MASK_FIELDS, PictureFields
from app.schema.request import GenerationRequest, ImagePlan, ResolvedRequest

Entries = dict[str, str | int | float | None]

_BUILT_IN_VAE: Final = ("", "None", "Baked in")
_DDIM: Final = ("DDIM", "DDIM CFG++")
_NOISY: Final = ("LCM", "Restart")
_FROM_FILES: Final = ("checkpoint", "vae")
_HALVES: Final = ("-1", "-2")
_RESERVED: Final = frozenset({*places(), *OTHER_KEYS, PROMPT_LINES, EXTENSION_SETTINGS})


def picture_entries(plan: ImagePlan, facts: Iterable[tuple[str, str]] = (), models: Models = NO_MODELS) -> list[Entry]:
    """All entries of a picture, in A1111's order, for `write_infotext`.

    facts: what only the run knows (hashes of networks, precision); they win over the request's. models: of the
    extensions whose values the request may carry; values without a key of their own travel as JSON in one entry more.
    """
    request = picture_request(plan)
    entries: Entries = {
        **_request_entries(request),
        **_redrawing_entries(plan.resolved.request),
        "Schedule type": plan.resolved.schedule_label,
        **_file_entries(plan),
        **_extension_entries(plan, models),
    }
    entries = {**_joined_sizes(entries), **dict(facts)}
    order = {key: number for number, key in enumerate(ORDER)}
    ordered = sorted(entries.items(), key=lambda entry: order.get(entry[0], len(ORDER)))
    return [*ordered, ("Version", PROGRAM)]


def picture_request(plan: ImagePlan) -> GenerationRequest:
    """The request that makes this one picture: what an infotext says, and what reading it gives back.

    One picture with its own seeds, files by name, and each value that does not act on it at its neutral one.
    """
    resolved = plan.resolved
    request = resolved.request
    sampler, schedule = _names(request)
    varied = request.variation_strength > 0
    resized = request.seed_resize_width > 0 and request.seed_resize_height > 0
    neutral: dict[str, Any] = {
        "styles": (),
        "batch_count": 1,
        "batch_size": 1,
        "save_images": True,
        "seed": plan.seed,
        "variation_seed": plan.variation_seed if varied else -1,
        "sampler": sampler,
        "schedule": schedule,
        "checkpoint": _checkpoint(resolved),
        "vae": _vae(plan),
        "extensions": _extensions(resolved),
    }
    silent = (*_idle(resolved), *_unread_by_all(resolved))
    neutral |= {name: GenerationRequest.model_fields[name].default for name in silent}
    if not resized:
        neutral |= {"seed_resize_width": 0, "seed_resize_height": 0}
    samplers = [_names(one.request)[0] for one in resolved.all_passes]
    if not any(map(_reads_eta, samplers)) or all(request.eta == _own_eta(one) for one in samplers):
        neutral["eta"] = None
    if not any(_draws_noise(request, one) for one in samplers):
        neutral["noise_seed_delta"] = 0
    if not request.extensions and not any(bracket in request.prompt + request.negative_prompt for bracket in "(["):
        neutral["emphasis"] = "Original"
    return request.model_copy(update=neutral)


def _unread_by_all(resolved: ResolvedRequest) -> set[str]:
    """The fields that no pass of a picture reads."""
    passes = [one.request for one in resolved.all_passes]
    return set.intersection(*(set(_unread(one, *_names(one))) for one in passes))


def _unread(request: GenerationRequest, sampler: str, schedule: str) -> Iterator[str]:
    """The fields that this sampler, schedule and text do not read."""
    known = _known(sampler)
    if known is not None and known.timestep:
        yield from ("sigma_min", "sigma_max", "rho", "old_karras_sigmas", "sgm_noise_multiplier")
    if known is not None and sampler != "UniPC":
        yield from ("unipc_variant", "unipc_skip_type", "unipc_order", "unipc_lower_order_final")
    if schedule != "Beta":
        yield from ("beta_alpha", "beta_beta")
    if not request.guidance_minimum_sigma:
        yield "guidance_minimum_all_steps"
    if "#" not in request.prompt + request.negative_prompt:
        yield "prompt_comments"
    if "<" not in request.prompt:
        yield "ignore_network_tags"


def _request_entries(request: GenerationRequest) -> Entries:
    """The request's own entries. One that stands at what its absence means is left out."""
    entries: Entries = {}
    for name, control in controls_of(GenerationRequest).items():
        key, value = control.infotext, getattr(request, name)
        if key is None or name in _FROM_FILES:
            continue
        neutral = ABSENT.get(key, GenerationRequest.model_fields[name].default)
        entries[key] = value if key in ALWAYS_WRITTEN or value != neutral else None
    sampler = _known(request.sampler)
    if sampler is not None and sampler.timestep:
        entries["Eta DDIM"] = entries.pop("Eta", None)
    if request.precision in ("auto", "fp32"):
        entries["Precision"] = None
    return entries


def _redrawing_entries(request: GenerationRequest) -> Entries:
    """What a redrawn picture says even where it stands at its default."""
    if not request.init_images:
        return {}
    entries: Entries = {"Denoising strength": request.denoising_strength}
    if request.mask is not None:
        alike = request.mask_blur_x == request.mask_blur_y
        entries["Mask blur"] = request.mask_blur_x if alike and request.mask_blur_x else None
        if request.inpaint_area == "Only masked":
            entries["Masked area padding"] = request.masked_padding
    return entries


def _idle(resolved: ResolvedRequest) -> Iterable[str]:
    """The fields of redrawing that do not act on this picture; which picture and mask it was an infotext cannot say."""
    request = resolved.request
    if not request.init_images:
        # A pass over a latent reads no more of them than this.
        read = {"extra_noise"} if any(one.request.exact_steps for one in resolved.passes.values()) else set()
        return [name for name in PictureFields.model_fields if name not in read]
    # Whether the model is one for editing only the run knows, which tells the picture's own scale.
    always = ("init_images", "image_cfg_scale")
    if request.mask is None:
        return (*always, *MASK_FIELDS)
    padding = () if request.inpaint_area == "Only masked" else ("masked_padding",)
    return (*always, "mask", *padding)


def _file_entries(plan: ImagePlan) -> Entries:
    checkpoint, vae = plan.resolved.checkpoint, plan.resolved.vae
    built_in = "None" if plan.resolved.request.vae in _BUILT_IN_VAE else None
    return {
        "Model hash": checkpoint.sha256[:10] if checkpoint.sha256 else None,
        "Model": plan.resolved.checkpoint_name,
        "VAE hash": vae.sha256[:10] if vae and vae.sha256 else None,
        "VAE": PurePath(vae.path).name if vae else built_in,
    }


def _extension_entries(plan: ImagePlan, models: Models) -> Entries:
    entries: Entries = {}
    unsaid: dict[str, Any] = {}
    free = frozenset() if plan.resolved.request.init_images else SHARED
    for name, values in picture_request(plan).extensions.items():
        model = models.get(name)
        said = _said(model, values, (_RESERVED - free) | entries.keys()) if model is not None else {}
        silent = _silent(model, values, said) if model is not None else frozenset()
        written = {key: values[field] for key, field in said.items() if key not in silent}
        entries |= {key: value for key, value in written.items() if isinstance(value, str | int | float)}
        rest = {field: value for field, value in values.items() if field not in said.values()}
        rest = _telling(model, rest) if model is not None else rest
        if rest or not written:  # that it is named at all counts
            unsaid[name] = rest
    if unsaid:
        entries[EXTENSION_SETTINGS] = json.dumps(unsaid)
    return entries


def _telling(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not as they are anyway, and that the picture depends on."""
    controls = controls_of(model)
    found = {}
    for field, value in values.items():
        saving = field in controls and controls[field].holds == "saving"
        usual = field in model.model_fields and value == model.model_fields[field].default
        if not (saving or usual):
            found[field] = value
    return found


def _said(model: type[BaseModel], values: Mapping[str, Any], taken: Collection[str]) -> dict[str, str]:
    """Key -> field for the values that a key of the infotext carries there and back."""
    keys = {control.infotext: field for field, control in controls_of(model).items() if control.infotext}
    said = {key: field for key, field in keys.items() if key not in taken and KEY.fullmatch(key)}
    said = {key: field for key, field in said.items() if isinstance(values.get(field), str | int | float)}
    for key in tuple(said):
        if key.endswith(_HALVES) and not all(_is_length(values.get(said.get(half, ""))) for half in _both(key)):
            said.pop(key)
    read, _ = checked(model, {field: str(values[field]) for field in said.values()})
    try:
        meant = model.model_validate(values)
    except ValidationError:
        return {}
    return {key: field for key, field in said.items() if read.get(field) == getattr(meant, field) == values[field]}


def _silent(model: type[BaseModel], values: Mapping[str, Any], said: Mapping[str, str]) -> frozenset[str]:
    """The keys that A1111 would leave out: at their default, and that is nothing or what the absence means."""
    neutral = {
        key
        for key, field in said.items()
        if values[field] == model.model_fields[field].default
        and (not values[field] or str(values[field]) in (str(A1111_DEFAULTS.get(key)), UNSAID.get(key)))
    }
    return frozenset(key for key in neutral if not key.endswith(_HALVES) or neutral.issuperset(_both(key)))


def _both(key: str) -> tuple[str, str]:
    """The keys of both numbers of a size."""
    return f"{key[:-2]}-1", f"{key[:-2]}-2"


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _joined_sizes(entries: Entries) -> Entries:
    """`Size-1` and `Size-2` become `Size`; nothing where both are left out."""
    joined: Entries = {}
    for key, value in entries.items():
        first, second = _both(key)
        if key == first and second in entries:
            joined[key[:-2]] = None if value is None else f"{value}x{entries[second]}"
        elif not (key == second and first in entries):
            joined[key] = value
    return joined


def _extensions(resolved: ResolvedRequest) -> dict[str, dict[str, Any]]:
    """The extensions' values; the checkpoint of a further pass is called as infotexts do."""
    found = {}
    for name, values in resolved.request.extensions.items():
        further = resolved.passes.get(name)
        renamed = {further.request.checkpoint: _checkpoint(further)} if further else {}
        found[name] = {
            field: renamed.get(value, value) if isinstance(value, str) else value for field, value in values.items()
        }
    return found


def _checkpoint(resolved: ResolvedRequest) -> str:
    name, sha256 = resolved.checkpoint_name, resolved.checkpoint.sha256
    return f"{name} [{sha256[:10]}]" if sha256 else name


def _vae(plan: ImagePlan) -> str:
    if plan.resolved.vae is not None:
        return PurePath(plan.resolved.vae.path).name
    return "None" if plan.resolved.request.vae in _BUILT_IN_VAE else AUTOMATIC


def _names(request: GenerationRequest) -> tuple[str, str]:
    try:
        return split_sampler_name(request.sampler, request.schedule)
    except UnknownChoice:  # an extension's: its names stay as they are
        return request.sampler, request.schedule


def _known(sampler: str) -> SamplerName | None:
    try:
        return find_sampler(sampler)
    except UnknownChoice:
        return None


def _reads_eta(name: str) -> bool:
    sampler = _known(name)
    return sampler is None or sampler.ancestral or sampler.brownian or name in _DDIM


def _own_eta(name: str) -> float:
    return 0.0 if name in _DDIM else 1.0


def _draws_noise(request: GenerationRequest, name: str) -> bool:
    """Whether a sampler draws from the image's own generator, which `ENSD` shifts; Brownian noise has its own."""
    sampler = _known(name)
    if sampler is None or name in _NOISY:
        return True
    if sampler.ancestral:
        return request.eta != 0
    return bool(request.eta) if name in _DDIM else request.s_churn > 0
