"""Material: a request's pictures, each in its bucket, held-out ones apart, and the captions' rules.

Files and arithmetic only: nothing here needs a model, so that a plan can be made before one is loaded.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest
from app.training.data.batches import Deal
from app.training.data.buckets import Bucket, Placing, bucket_sizes, place
from app.training.data.captions import CaptionOptions, Templates
from app.training.data.folder import PICTURES, Sample, read_folder
from app.training.randomness import numpy_generator

_USUAL_STEP = 64
_SMALL_STEP = 32
_SMALL = 256


@dataclass(frozen=True)
class Placed:
    """A picture and how it fills its bucket."""

    sample: Sample
    placing: Placing


@dataclass(frozen=True)
class Material:
    """pictures: to learn from; held_out: to test on; class_pictures: of ordinary ones. class_missing: how many of
    those the request wants beyond them."""

    pictures: tuple[Placed, ...]
    held_out: tuple[Placed, ...]
    class_pictures: tuple[Placed, ...]
    class_missing: int
    options: CaptionOptions
    templates: Templates | None

    @property
    def fingerprint(self) -> str:
        """Changes with names, sizes and captions of the pictures."""
        told = [_told(one) for one in self._all()]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def _all(self) -> tuple[Placed, ...]:
        return (*self.pictures, *self.held_out, *self.class_pictures)

    def buckets(self) -> Mapping[Bucket, int]:
        """How many pictures each size has."""
        return Counter(one.placing.bucket for one in self.pictures)


def read_material(request: TrainingRequest) -> Material:
    """Everything the request's folders hold. Raises TrainingProblem as `read_folder`, `Templates.read` do."""
    if not request.data:
        raise TrainingProblem("There are no pictures to learn from.", field="data", hint="Choose a folder of pictures.")
    samples = read_folder(Path(request.data).expanduser(), fallback=request.fallback_caption)
    class_samples: tuple[Sample, ...] = ()
    missing = 0
    if request.prior_used == "pictures":
        class_samples = _class_samples(request)
        missing = max(request.class_pictures - len(class_samples), 0)
    sizes = _sizes(request)
    held, learnt = _held_out(samples, request.validation_share, request.seed)
    if not request.masked_loss:
        learnt, held = (_unmasked(some) for some in (learnt, held))
    return Material(
        _placed(learnt, sizes, request.upscale),
        _placed(held, sizes, request.upscale),
        _placed(class_samples, sizes, request.upscale),
        missing,
        CaptionOptions(
            shuffle=request.shuffle_captions,
            keep_parts=request.keep_parts,
            drop_parts=request.drop_parts,
            drop=request.drop_captions,
        ),
        Templates.read(Path(request.template).expanduser(), name_of(request)) if request.template else None,
    )


def word_of(request: TrainingRequest) -> str:
    """What calls what is learnt: an embedding is called by its file's name, everything else by its trigger."""
    return request.name if request.method == "textual_inversion" else request.trigger


def name_of(request: TrainingRequest) -> str:
    """What stands for `[name]` in a template: a hypernetwork is called by its file's name there, too."""
    return word_of(request) or (request.name if request.method == "hypernetwork" else "")


def caption_of(sample: Sample, request: TrainingRequest, templated: bool) -> str:
    """A picture's caption, before anything is drawn; the word and its kind are put before one that lacks the word.

    A file name with a digit, as IMG_2034 or dog2, describes nothing and is left out where nobody wrote a caption.
    """
    if templated:
        return sample.caption
    word, words = word_of(request), sample.caption
    if not sample.written and any(sign.isdigit() for sign in words):
        words = ""
    if not word or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", words, re.IGNORECASE):
        return words
    return ", ".join(part for part in (f"{word} {request.class_words}".strip(), words) if part)


def class_caption_of(sample: Sample, request: TrainingRequest) -> str:
    """A class picture's caption: as somebody wrote it, else the word for the kind, else the file name's words."""
    return sample.caption if sample.written else request.class_words or sample.caption


def class_captions(samples: Sequence[Sample], request: TrainingRequest) -> tuple[str, ...]:
    """What ordinary ones are called: the captions without the word, the kind alone, and nothing.

    The empty caption belongs to them: guidance measures from it.
    """
    word = word_of(request)
    found = [""]
    if request.class_words:
        found.append(request.class_words)
    if word:
        without = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)[ ,]*", re.IGNORECASE)
        found += [without.sub("", caption_of(sample, request, False)).strip(" ,") for sample in samples]
    return tuple(dict.fromkeys(found))


def deal_of(pictures: Sequence[Placed], size: int, seed: int) -> Deal:
    """Batches of the pictures."""
    return Deal([one.placing.bucket for one in pictures], [one.sample.repeats for one in pictures], size, seed)


def _class_samples(request: TrainingRequest) -> tuple[Sample, ...]:
    """Those there are: a folder that is to be filled may be empty or missing."""
    if not request.class_data:
        return ()
    folder = Path(request.class_data).expanduser()
    found = folder.rglob("*") if folder.is_dir() else ()
    if not any(path.suffix.lower() in PICTURES for path in found):
        return ()
    return read_folder(folder, "class_data")


def _sizes(request: TrainingRequest) -> tuple[Bucket, ...]:
    width, height = request.width, request.height
    step = _USUAL_STEP if min(width, height) >= _SMALL else _SMALL_STEP
    step = min(step, width, height)
    if not request.buckets:
        return (Bucket(width // 8 * 8, height // 8 * 8),)
    return bucket_sizes(width, height, step, max(min(width, height) // 2, step), 2 * max(width, height))


def _held_out(samples: Sequence[Sample], share: float, seed: int) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Held out and to be learnt from; always the same for the same pictures and seed."""
    count = min(max(round(len(samples) * share), 1), len(samples) - 1) if share else 0
    order = numpy_generator(seed, "held out").permutation(len(samples))
    held = set(order[:count].tolist())
    return (
        tuple(sample for number, sample in enumerate(samples) if number in held),
        tuple(sample for number, sample in enumerate(samples) if number not in held),
    )


def _placed(samples: Sequence[Sample], sizes: tuple[Bucket, ...], upscale: bool) -> tuple[Placed, ...]:
    return tuple(Placed(one, place(one.width, one.height, sizes, upscale=upscale)) for one in samples)


def _unmasked(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    return tuple(replace(one, mask=None) for one in samples)


def _told(one: Placed) -> tuple[object, ...]:
    sample = one.sample
    return sample.path.name, sample.path.stat().st_size, sample.caption, sample.repeats, one.placing
