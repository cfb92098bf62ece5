"""Why a picture would come out differently: a file's recipe against what would be made now, factor by factor.

Pure: compares what it is given; looks nothing up. What a text does not say is told as such, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from app.schema.control import controls_of
from app.schema.infotext.file_differences import NamedFile, checkpoint_difference, network_differences, vae_difference
from app.schema.infotext.prompt_differences import prompt_difference
from app.schema.infotext.request import PastedRequest
from app.schema.infotext.text import PROGRAM, PROGRAM_NAME, Infotext
from app.schema.request import GenerationRequest


class Present(NamedTuple):
    """What the next picture would be made with.

    request: as `picture_request` gives it, neutral where a value does not act; precision is what 'auto' comes to.
    checkpoint, vae: the files, vae None for the checkpoint's own. networks: LoRAs and embeddings that are here by
    name. draws_seed: each picture gets a seed of its own. batch_size: pictures that share a model call.
    """

    request: GenerationRequest
    checkpoint: NamedFile
    vae: NamedFile | None = None
    networks: Mapping[str, NamedFile] = {}
    draws_seed: bool = False
    batch_size: int = 1


class Difference(NamedTuple):
    """One factor. theirs, ours: what the file says and what holds now. words: why it matters, in a sentence or two.

    fields: of the request that taking it over sets. certain: False where the text does not say enough to know.
    """

    label: str
    theirs: str
    ours: str
    words: str
    fields: tuple[str, ...] = ()
    certain: bool = True


_NOT_SAID: Final = "not said"
_APART: Final = frozenset({"checkpoint", "vae", "prompt", "negative_prompt", "styles", "precision", "width", "height"})
_WORDS: Final[Mapping[str, str]] = {
    "seed": "Another seed is another picture.",
    "sampler": "Another sampler walks another way from the same noise.",
    "schedule": "The steps are laid out over other noise levels.",
    "steps": "Another number of steps.",
    "cfg_scale": "The prompt pulls more or less.",
    "clip_skip": "The prompt is read at another layer of the text encoder.",
    "noise_source": "The same seed gives other noise from another generator.",
    "noise_seed_delta": "The sampler's later noise has another seed (ENSD).",
    "emphasis": "Weights such as (word:1.2) act otherwise.",
    "eta": "The sampler adds more or less noise on its way.",
    "tiling": "Edges that meet change the whole picture.",
    "variation_seed": "The variation is another one.",
    "variation_strength": "More or less of the variation is mixed in.",
}
_FILE_KEYS: Final = frozenset({"Model hash", "Model", "VAE", "VAE hash"})
# Entries that tell of a picture and do not act on it.
_HARMLESS: Final = frozenset(
    {"Batch size", "Batch pos", "Civitai metadata", "Civitai resources", "Created Date", "Hashes", "User", "Version"}
)
_OTHERS_PRECISION: Final = "A1111 computes in fp16 on most graphics cards and does not say so: small details move."
_OTHER_CARD: Final = (
    "Noise from the GPU depends on the kind of device. For a picture made on an NVIDIA card, NV gives the same noise "
    "on any machine."
)


def differences(recipe: Infotext, pasted: PastedRequest, present: Present) -> list[Difference]:
    """Each factor in which the two differ or may differ, the weightiest first; an empty list means: none known.

    recipe: of the file. pasted: the same through `request_from_infotext` with styles left in the prompts.
    """
    found = [
        *_files(recipe, pasted, present),
        *_prompts(pasted, present),
        *_size(pasted, present),
        *_fields(pasted, present),
        *_rounding(recipe, pasted, present),
        *_unknown(pasted),
        *_version(recipe),
    ]
    return sorted(found, key=lambda one: not one.certain)


def _files(recipe: Infotext, pasted: PastedRequest, present: Present) -> Iterator[Difference]:
    here = "checkpoint" in pasted.fields
    told = checkpoint_difference(recipe.fields, present.checkpoint, here)
    if told:
        yield Difference("Checkpoint", told.theirs, told.ours, told.words, ("checkpoint",) * here, told.certain)
    here = "vae" in pasted.fields
    told = vae_difference(recipe.fields, present.vae, here)
    if told:
        yield Difference("VAE", told.theirs, told.ours, told.words, ("vae",) * here, told.certain)
    for name, told in network_differences(recipe.fields, present.networks):
        yield Difference(name, told.theirs, told.ours, told.words, (), told.certain)


def _prompts(pasted: PastedRequest, present: Present) -> Iterator[Difference]:
    for name, label in (("prompt", "Prompt"), ("negative_prompt", "Negative prompt")):
        told = prompt_difference(str(pasted.fields.get(name, "")), getattr(present.request, name))
        if told:
            yield Difference(label, told.theirs, told.ours, told.words, (name, "styles"))


def _size(pasted: PastedRequest, present: Present) -> Iterator[Difference]:
    if {"width", "height"} <= pasted.fields.keys():
        theirs = f"{pasted.fields['width']}x{pasted.fields['height']}"
        ours = f"{present.request.width}x{present.request.height}"
        if theirs != ours:
            yield Difference("Size", theirs, ours, "Another size starts from other noise.", ("width", "height"))


def _fields(pasted: PastedRequest, present: Present) -> Iterator[Difference]:
    controls = controls_of(GenerationRequest)
    for name, theirs in pasted.fields.items():
        if name in _APART:
            continue
        label = controls[name].label if name in controls else "Extensions"
        ours = getattr(present.request, name)
        if name == "seed" and present.draws_seed:
            yield Difference(label, str(theirs), "-1", "The form draws a new seed for each picture.", (name,))
        elif theirs != ours:
            words = _WORDS.get(name, "This setting differs.")
            if name == "noise_source" and theirs == "GPU":
                words = f"{words} {_OTHER_CARD}"
            yield Difference(label, _shown(theirs), _shown(ours), words, (name,))
        elif name == "noise_source" and theirs == "GPU":
            yield Difference(label, "GPU", "GPU", _OTHER_CARD, certain=False)


def _rounding(recipe: Infotext, pasted: PastedRequest, present: Present) -> Iterator[Difference]:
    theirs, ours = pasted.fields.get("precision"), present.request.precision
    if theirs is None and recipe.fields:
        yield Difference("Precision", _NOT_SAID, ours, _OTHERS_PRECISION, certain=False)
    elif theirs is not None and theirs not in ("auto", ours):
        words = "Numbers are rounded otherwise; small details move."
        yield Difference("Precision", str(theirs), ours, words, ("precision",))
    batch = recipe.fields.get("Batch size", "")
    if present.batch_size > 1 or batch not in ("", "1"):
        words = "Pictures that share a model call are rounded together, which shows in the last digits."
        yield Difference("Batch size", batch or _NOT_SAID, str(present.batch_size), words, certain=False)


def _unknown(pasted: PastedRequest) -> Iterator[Difference]:
    for note in pasted.notes:
        if note.key and note.key not in _FILE_KEYS:
            yield Difference(note.key, pasted.leftover.get(note.key, ""), "", note.text)
    noted = {note.key for note in pasted.notes}
    for key, value in pasted.leftover.items():
        if key not in _HARMLESS | _FILE_KEYS | noted:
            yield Difference(key, value, "", "This program does not act on it.")


def _version(recipe: Infotext) -> Iterator[Difference]:
    theirs = recipe.fields.get("Version", "")
    if theirs == PROGRAM or not recipe.fields:
        return
    if theirs.startswith(f"{PROGRAM_NAME} "):
        yield Difference("Version", theirs, PROGRAM, "Another version of this program.", certain=False)
    elif recipe.program not in ("", "AUTOMATIC1111"):
        words = f"Made with {recipe.program}, which reads prompts and draws noise its own way: similar, not the same."
        yield Difference("Program", theirs or recipe.program, PROGRAM, words)
    else:
        words = "Another program; what its version did otherwise is set where the text tells which it was."
        yield Difference("Version", theirs or _NOT_SAID, PROGRAM, words, certain=False)


def _shown(value: Any) -> str:
    if value is None:
        return "the sampler's own"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
