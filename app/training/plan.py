"""TrainingPlan: what a training is going to do, or why it cannot, said before it does anything.

'k pictures in b buckets, n shown per epoch, s steps', what is trained, how large the file and the snapshots will be.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from app.files.trained_file import require_name
from app.language import Tokenizer
from app.models import SDXL_REFINER, LoadedModel, VaeShape
from app.schema.amounts import size_words
from app.schema.errors import TrainingProblem, UnsupportedModel
from app.schema.training import TrainingRequest
from app.schema.training_run import BucketFacts, PlanFacts
from app.training.data import Material, class_captions, deal_of, passed_over, read_material, word_of
from app.training.latents import read_mask
from app.training.memory import memory_of, memory_there
from app.training.optimizers import require_8bit
from app.training.packages import require_accelerate, require_tensorboard
from app.training.room import Room, room_of
from app.training.sample_prompts import sample_requests
from app.training.schedule import Stretch, read_rates
from app.training.targets import NO_TARGETS, Targets, make_target

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class TrainingPlan:
    """pictures: to learn from; held_out: to test on. buckets: pictures by 'width x height'. shown_per_epoch: repeats
    counted. steps: optimiser steps, after the early end of a rate's text. class_missing: pictures of ordinary ones that
    are to be drawn first. parameters, room, memory (bytes on the device at the least): 0 while no model was looked at.
    """

    pictures: int
    held_out: int
    buckets: Mapping[str, int]
    shown_per_epoch: int
    batches_per_epoch: int
    steps: int
    epochs: float
    class_pictures: int
    class_missing: int
    parameters: int
    room: Room
    memory: int
    warnings: tuple[str, ...]

    def facts(self, free: int = 0) -> PlanFacts:
        """What is told of it. free: bytes that the drive has; 0 while nobody has looked."""
        buckets = [(*map(int, size.split("x")), count) for size, count in self.buckets.items()]
        missing = [f"{self.class_missing} pictures of ordinary ones will be drawn first."] if self.class_missing else []
        return PlanFacts(
            pictures=self.pictures,
            held_out=self.held_out,
            buckets=tuple(BucketFacts(*bucket) for bucket in buckets),
            per_epoch=self.shown_per_epoch,
            steps_per_epoch=self.batches_per_epoch,
            steps=self.steps,
            epochs=self.epochs,
            parameters=self.parameters,
            memory_bytes=self.memory,
            file_bytes=self.room.file,
            folder_bytes=self.room.run,
            free_bytes=free,
            remarks=(*self.warnings, *missing),
        )


def plan(
    request: TrainingRequest,
    model: LoadedModel | None = None,
    folder: Path | None = None,
    *,
    check_class: bool = False,
    device: torch.device | None = None,
    targets: Targets = NO_TARGETS,
) -> TrainingPlan:
    """Looks at everything a training needs and trains nothing.

    model: as loaded for it, or its outline; nothing of it is changed. folder: of the run, for the room on its disk.
    check_class: the pictures of ordinary ones must be there by now. device: that it will run on; None: the model's.
    targets: of extensions. Raises TrainingProblem for what would end in failure later, DiskFull.
    """
    material = read_material(request)
    return plan_of(request, material, model, folder, check_class=check_class, device=device, targets=targets)


def plan_of(
    request: TrainingRequest,
    material: Material,
    model: LoadedModel | None = None,
    folder: Path | None = None,
    *,
    check_class: bool = False,
    device: torch.device | None = None,
    targets: Targets = NO_TARGETS,
) -> TrainingPlan:
    """`plan` for material that was read."""
    request = in_steps(request, material)
    rates = rates_of(request)
    steps = rates[-1].until
    require_name(request.name.strip())
    _require_means(request, device)
    sample_requests(request, word_of(request))
    if check_class and request.prior_used == "pictures" and not material.class_pictures:
        raise TrainingProblem(
            "There are no pictures of ordinary ones of its kind.",
            field="class_data",
            hint="Have them drawn, put some into the folder, or keep its kind by what the untouched model draws.",
        )
    for one in (*material.pictures, *material.held_out):
        read_mask(one)
    parameters, room, memory = 0, Room(), 0
    if model is not None:
        _require_fit(request, model)
        parameters, file_bytes = _measured(request, model, targets)
        room = room_of(request, material, model, parameters, file_bytes, steps)
        memory = memory_of(request, model, parameters, device or model.device)
    if folder is not None:
        room.require(folder)
    deal = deal_of(material.pictures, request.batch_size, request.seed)
    return TrainingPlan(
        pictures=len(material.pictures),
        held_out=len(material.held_out),
        buckets={f"{bucket.width}x{bucket.height}": count for bucket, count in material.buckets().items()},
        shown_per_epoch=deal.shown_per_epoch,
        batches_per_epoch=deal.steps_per_epoch,
        steps=steps,
        epochs=steps * request.accumulation / deal.steps_per_epoch,
        class_pictures=len(material.class_pictures),
        class_missing=material.class_missing,
        parameters=parameters,
        room=room,
        memory=memory,
        warnings=(*_warnings(request, material, model), *_too_large(memory, device)),
    )


def require_vae(shape: VaeShape, model: LoadedModel, name: str) -> None:
    """Raises UnsupportedModel for a VAE whose latents are of another kind than the model's."""
    family = model.family
    if (shape.latent_channels, 2 ** (len(shape.channels) - 1)) != (family.latent_channels, family.pixels_per_latent):
        raise UnsupportedModel(
            f"The VAE {name} does not fit the checkpoint: its latents have {shape.latent_channels} channels and "
            f"{2 ** (len(shape.channels) - 1)} pixels a side, the checkpoint's {family.latent_channels} and "
            f"{family.pixels_per_latent}.",
            field="vae",
            hint="Take 'Automatic', or a VAE of its family.",
        )


def in_steps(request: TrainingRequest, material: Material) -> TrainingRequest:
    """The request with epochs as steps, the last of which may show a part twice."""
    if not request.epochs:
        return request
    batches = request.epochs * deal_of(material.pictures, request.batch_size, request.seed).steps_per_epoch
    return request.model_copy(update={"epochs": 0, "steps": -(-batches // request.accumulation)})


def rates_of(request: TrainingRequest) -> tuple[Stretch, ...]:
    """The learning rate's text read; its last stretch ends the training. Raises TrainingProblem."""
    rates = read_rates(request.learning_rate, request.steps)
    if any(stretch.rate < 0 for stretch in rates):
        raise TrainingProblem("A learning rate is below 0.", field="learning_rate", hint="Write one such as 1e-4.")
    ends = [stretch.until for stretch in rates]
    if ends[0] < 1 or any(later <= earlier for earlier, later in itertools.pairwise(ends)):
        raise TrainingProblem(
            "The steps of the learning rate do not rise.",
            field="learning_rate",
            hint="Write them like 5e-3:200, 1e-3:500, 1e-5.",
        )
    return rates


def _require_means(request: TrainingRequest, device: torch.device | None) -> None:
    """Raises TrainingProblem for packages that are missing, and cards without work."""
    if request.optimizer == "AdamW8bit":
        require_8bit(device)
    if request.tensorboard:
        require_tensorboard()
    if request.cards > 1:
        require_accelerate()
    if request.cards > request.accumulation:
        raise TrainingProblem(
            f"{request.cards} graphics cards share the batches of a step, and there are {request.accumulation}.",
            field="accumulation",
            hint=f"Take {request.cards} batches a step, or a multiple of that.",
        )


def _require_fit(request: TrainingRequest, model: LoadedModel) -> None:
    """Raises TrainingProblem for checkpoints that cannot be trained."""
    if model.family.name == SDXL_REFINER.name:
        raise TrainingProblem("SDXL's refiner cannot be trained.", field="checkpoint", hint="Take a base checkpoint.")
    if model.unet.config.in_channels != model.family.latent_channels:
        raise TrainingProblem(
            "Checkpoints for inpainting and for editing by instruction cannot be trained.",
            field="checkpoint",
            hint="Take the plain version of it.",
        )
    side = model.vae.pixels_per_latent
    if request.width % side or request.height % side:
        raise TrainingProblem(f"Width and height have to be multiples of {side}.", field="width")


def _measured(request: TrainingRequest, model: LoadedModel, targets: Targets) -> tuple[int, int]:
    """Numbers trained, and bytes of the file."""
    if request.method == "dreambooth":
        text = bool(request.text_encoder_rate)
        trained = sum(weight.numel() for name, weight in model.weights() if text or name.startswith("unet."))
        halves = {"fp32": 4, "fp16": 2, "bf16": 2}.get(request.save_precision)
        everything = sum(tensor.numel() for _, part in model.parts() for tensor in part.parameters())
        base = model.file.size if model.file is not None else everything * model.dtype.itemsize
        return trained, base if halves is None else everything * halves
    with model.device if model.device.type == "meta" else nullcontext():
        measured = make_target(request, model, Tokenizer(), targets)
    try:
        return sum(tensor.numel() for tensor in measured.parameters().values()), measured.file_bytes()
    finally:
        measured.detach()


def _too_large(memory: int, device: torch.device | None) -> tuple[str, ...]:
    there = memory_there(device) if device is not None else None
    if there is None or memory <= there:
        return ()
    return (
        f"It takes {size_words(memory)} of memory at the least, and the device has {size_words(there)}: "
        "train a LoRA, or take AdamW8bit, Adafactor or a smaller rank.",
    )


def _warnings(request: TrainingRequest, material: Material, model: LoadedModel | None) -> tuple[str, ...]:
    said = []
    words, samples = word_of(request), [one.sample for one in material.pictures]
    if not words and request.method == "dreambooth":
        said.append("There is no trigger word: every picture of these captions will change.")
    elif request.prior_used == "prediction" and class_captions(samples, request) == ("",):
        said.append("There is no trigger word: only the empty prompt is kept as it is.")
    if words and request.method != "textual_inversion" and words.strip() == request.class_words.strip():
        said.append("The trigger word is the word for its kind: every one of its kind will change.")
    if request.optimizer == "Prodigy" and not 0.1 <= rates_of(request)[0].rate <= 10:
        said.append("Prodigy finds its own rate, and the learning rate is a factor of it: 1 is usual.")
    if model is not None and request.min_snr_gamma and float(model.alphas_cumprod[-1]) < 1e-6:
        said.append("Min-SNR gives the noisiest steps no weight; this checkpoint needs them to learn dark and bright.")
    if request.method == "textual_inversion":
        if material.templates and not all("[name]" in line for line in material.templates.lines):
            said.append("Lines of the template without [name] teach the embedding nothing.")
        if request.drop_captions or request.drop_parts:
            said.append("Captions that are left out, or whose word is, teach the embedding nothing.")
    if request.flip and any(_SIDES.search(sample.caption) for sample in samples):
        said.append("Captions say 'left' or 'right', and the pictures are mirrored.")
    return (*said, *passed_over(Path(request.data).expanduser()))
