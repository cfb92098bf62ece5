"""From an infotext to the fields of a request, by the Controls.

Never raises: what cannot be used stays over, with a note for the person. Asks `Lookups` for files, grammar and styles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.schema.choices import find_sampler
from app.schema.control import controls_of
from app.schema.errors import EaselError, UnknownChoice
from app.schema.faces import NO_CODEFORMER, means_codeformer
from app.schema.infotext.files import find_checkpoint, find_vae
from app.schema.infotext.keys import (
    A1111_DEFAULTS,
    ABSENT,
    ALWAYS_WRITTEN,
    EXTENSION_SETTINGS,
    NO_MODELS,
    SHARED,
    Models,
    Place,
    checked,
    places,
    spellings,
)
from app.schema.infotext.lookups import NO_LOOKUPS, Lookups
from app.schema.infotext.networks import with_additional_networks, with_hypernetwork, with_local_names
from app.schema.infotext.pairs import split_size
from app.schema.infotext.parameters import old_hires_sizes
from app.schema.infotext.text import PROGRAM_NAME, PROMPT_LINES, Infotext
from app.schema.infotext.versions import compatibility
from app.schema.request import GenerationRequest

_WRITTEN_ANEW: Final = frozenset(
    {"Version", "Lora hashes", "TI hashes", "Hashes", "Hypernet", "Hypernet strength", PROMPT_LINES}
)
"""Said by the prompt, or found out again when the next picture is made."""
_APART: Final = frozenset({"sampler", "schedule", "checkpoint", "vae"})
_ALL_ALIKE: Final = ("", PROGRAM_NAME, "AUTOMATIC1111")


class Note(NamedTuple):
    """Something that a person should know before generating. key: the entry's, "" for the whole text."""

    key: str
    text: str


class PastedRequest(NamedTuple):
    """fields: of GenerationRequest, checked and typed; those that the text says nothing of are absent.

    leftover: the entries that set no field, in their order and as written, to be kept or written back.
    """

    fields: dict[str, Any]
    leftover: dict[str, str]
    notes: tuple[Note, ...]


@dataclass
class _Reading:
    """Work in progress. said: key of a Control -> text. sources: the same -> key as it was written."""

    said: dict[str, str]
    sources: dict[str, str]
    fields: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)

    def use(self, *keys: str) -> None:
        """These entries are accounted for."""
        self.used.update(self.sources[key] for key in keys if key in self.sources)

    def note(self, key: str, text: str) -> None:
        self.notes.append(Note(key, text))


def request_from_infotext(
    infotext: Infotext, lookups: Lookups = NO_LOOKUPS, models: Models = NO_MODELS
) -> PastedRequest:
    """What a request has to say to make the picture again, as far as this program and this machine can.

    An entry that A1111 writes only where it differs means its neutral value when it is absent; one that it always
    writes says nothing then, and its field is left out. models: of the extensions whose keys are to be read.
    """
    known = places(models)
    reading = _entries(infotext, known)
    _read_old_behaviour(reading, infotext, known)
    _read_prompts(reading, infotext, lookups)
    _read_sampling(reading, lookups)
    _read_files(reading, lookups)
    _read_controls(reading, infotext, known)
    if "mask_blur_x" in reading.fields:  # the one number stands for both
        reading.fields["mask_blur_y"] = reading.fields["mask_blur_x"]
    _read_extensions(reading, known, models, lookups)
    if infotext.program not in _ALL_ALIKE:
        reading.note("", f"Made with {infotext.program}: the picture will be similar, not the same.")
    leftover = {key: value for key, value in infotext.fields.items() if key not in reading.used}
    return PastedRequest(reading.fields, leftover, tuple(reading.notes))


def _entries(infotext: Infotext, known: Mapping[str, Place]) -> _Reading:
    """The entries under the keys of Controls; of two that mean the same the one spelt exactly, else the first."""
    other = spellings(known)
    exact = frozenset(other.values())
    reading = _Reading({}, {})
    given = [(key, value) for key, value in infotext.fields.items() if key not in infotext.bare or key in exact]
    for key, value in sorted(given, key=lambda entry: entry[0] not in exact):
        meant = key if key in exact else other.get(key.strip().casefold(), key)
        size = split_size(value)
        if size is not None and (f"{meant}-1" in known or meant == "First pass size"):
            new = {f"{meant}-1": size[0], f"{meant}-2": size[1]}
        else:
            new = {meant: value}
        if not any(one in reading.said for one in new):
            reading.said |= new
            reading.sources |= dict.fromkeys(new, key)
    reading.used.update(_WRITTEN_ANEW & infotext.fields.keys())
    sizes = old_hires_sizes(reading.said)
    if sizes:
        reading.use("First pass size-1")
        reading.said |= {key: str(value) for key, value in sizes.items()}
    return reading


def _read_old_behaviour(reading: _Reading, infotext: Infotext, known: Mapping[str, Place]) -> None:
    for key in compatibility(reading.said, infotext.prompt):
        if key in known:
            reading.said.setdefault(key, "True")
        else:
            version = infotext.fields.get("Version", "")
            reading.note(key, f"{version} behaved otherwise here ('{key}'), which this program does not do.")


def _read_prompts(reading: _Reading, infotext: Infotext, lookups: Lookups) -> None:
    prompt, negative_prompt = infotext.prompt, infotext.negative_prompt
    if lookups.extract_styles is not None:
        styles, prompt, negative_prompt = lookups.extract_styles(prompt, negative_prompt)
        if styles:
            reading.fields["styles"] = tuple(styles)
    prompt = with_hypernetwork(prompt, infotext.fields)
    tagged = with_additional_networks(prompt, infotext.fields)
    if tagged != prompt:
        reading.used.update(key for key in infotext.fields if key.startswith("AddNet "))
    prompt = with_local_names(tagged, infotext.fields, lookups.network)
    reading.fields |= {"prompt": prompt, "negative_prompt": negative_prompt}


def _read_sampling(reading: _Reading, lookups: Lookups) -> None:
    name, schedule = reading.said.get("Sampler"), reading.said.get("Schedule type")
    if not name and not schedule:
        return
    try:
        sampler, label = lookups.sampler(name, schedule)
    except EaselError as error:
        reading.note("Sampler", error.message)
        return
    if name:
        reading.fields["sampler"] = sampler
    reading.fields["schedule"] = label
    reading.use("Sampler", "Schedule type")


def _read_files(reading: _Reading, lookups: Lookups) -> None:
    files = {
        "checkpoint": find_checkpoint(reading.said, lookups.checkpoint),
        "vae": find_vae(reading.said, lookups.vae),
    }
    for name, file in files.items():
        if file.found:
            reading.fields[name] = file.found
            reading.use(*file.keys)
        elif file.wanted:
            what = "VAE" if name == "vae" else name
            reading.note(file.keys[0], f"The {what} {file.wanted} is not here; the one chosen stays.")


def _read_controls(reading: _Reading, infotext: Infotext, known: Mapping[str, Place]) -> None:
    """Fields of the request that take a value as it is, and those that an absent entry sets."""
    given = dict(reading.fields)
    keys: dict[str, str] = {}
    for written, place in known.items():
        key = _eta_key(reading) if place.field == "eta" else written
        if place.model or place.field in _APART:
            continue
        if key in reading.said:
            given[place.field], keys[place.field] = reading.said[key], key
        elif infotext.fields and key not in ALWAYS_WRITTEN:
            given |= _neutral(place.field, key, infotext.program)
    values, wrong = checked(GenerationRequest, given)
    reading.fields = values
    reading.use(*(keys[name] for name in values if name in keys))
    for name, problem in wrong.items():
        key = keys.get(name, name)
        reading.note(key, f"{key}: {problem}; the field stays as it is.")


def _neutral(field_name: str, key: str, program: str) -> dict[str, Any]:
    """What a field is when its entry is absent. Only our own texts say anything of precision by leaving it out."""
    if field_name == "precision":
        return {field_name: "fp32"} if program == PROGRAM_NAME else {}
    return {field_name: ABSENT.get(key, GenerationRequest.model_fields[field_name].default)}


def _eta_key(reading: _Reading) -> str:
    """DDIM's eta has a key of its own; texts before it had used the other."""
    try:
        timestep = find_sampler(reading.fields.get("sampler", "")).timestep
    except UnknownChoice:
        timestep = False
    return "Eta DDIM" if timestep and "Eta DDIM" in reading.said else "Eta"


def _read_extensions(reading: _Reading, known: Mapping[str, Place], models: Models, lookups: Lookups) -> None:
    data: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        given = {place.field: key for key, place in known.items() if place.model == name and key in reading.said}
        controls = controls_of(model)
        if given:
            keys = {field_name: control.infotext or "" for field_name, control in controls.items()}
            given |= {one: key for one, key in keys.items() if key in SHARED and key in reading.said}
        for field_name, key in list(given.items()):
            choices = controls[field_name].choices
            missing = choices == "checkpoints" and not _find_further(reading, key, lookups)
            if missing or (choices == "face_restorers" and _refuse_codeformer(reading, key)):
                del given[field_name]
        values, wrong = checked(model, {field_name: reading.said[key] for field_name, key in given.items()})
        if values:
            data[name] = model.model_validate(values).model_dump(mode="json", include=set(values))
            reading.use(*(given[field_name] for field_name in values))
        for field_name, problem in wrong.items():
            reading.note(given[field_name], f"{given[field_name]}: {problem}; left out.")
    for name, values in _extension_settings(reading).items():
        data[name] = {**data.get(name, {}), **values}
    if data:
        reading.fields["extensions"] = data


def _find_further(reading: _Reading, key: str, lookups: Lookups) -> bool:
    """Whether the checkpoint of a further pass is here; if so, under the name that it has here."""
    wanted = reading.said[key]
    if wanted == str(A1111_DEFAULTS.get(key)):
        return True
    name, _, short_hash = wanted.removesuffix("]").rpartition(" [")
    file = find_checkpoint({"Model hash": short_hash, "Model": name} if name else {"Model": wanted}, lookups.checkpoint)
    if file.found:
        reading.said[key] = file.found
        return True
    reading.use(key)
    reading.note(key, f"{key}: the checkpoint {wanted} is not here; it is left out.")
    return False


def _refuse_codeformer(reading: _Reading, key: str) -> bool:
    """Whether it is CodeFormer that is asked for; why it is left out is told then."""
    if not means_codeformer(reading.said[key]):
        return False
    reading.use(key)
    reading.note(key, NO_CODEFORMER)
    return True


def _extension_settings(reading: _Reading) -> dict[str, dict[str, Any]]:
    text = reading.said.get(EXTENSION_SETTINGS)
    if text is None:
        return {}
    try:
        settings, _ = checked(GenerationRequest, {"extensions": json.loads(text)})
    except (ValueError, RecursionError):
        settings = {}
    if not settings:
        reading.note(EXTENSION_SETTINGS, "The extensions' settings cannot be read; they stay as they are.")
        return {}
    reading.use(EXTENSION_SETTINGS)
    found: dict[str, dict[str, Any]] = settings["extensions"]
    return found
