"""TrainingRequest: one frozen object for the Train tab, the API and the command line.

What is trained (method) and on what (data) are two axes: every method takes every kind of data. Values and their
Controls only; `app.training` acts on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from app.schema.control import Control
from app.schema.errors import NewerVersion, TrainingProblem
from app.schema.problems import first_problem

TRAINING_VERSION = 1

Method = Literal["dreambooth", "lora", "textual_inversion", "hypernetwork"]
OwnMethod = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$")]
"""Of an extension: 'extension/name'; whether there is one is known where the training is submitted."""
LoraKind = Literal["LoRA", "LoCon", "LoHa", "LoKr", "DoRA"]
ScheduleName = Literal["constant", "linear", "cosine", "cosine_with_restarts", "polynomial"]
Prior = Literal["none", "pictures", "prediction"]
ACTIVATIONS = ("linear", "relu", "leakyrelu", "elu", "swish", "tanh", "sigmoid", "softsign")
"""Those that A1111's form offers first; whatever torch.nn has is taken, in lower case."""


class DataFields(BaseModel):
    """Pictures and captions. data, class_data: folders. trigger: the word that will call what is learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: Annotated[str, Control("Pictures to learn from", "a folder of pictures, with captions if you have them")] = ""
    trigger: Annotated[str, Control("Trigger word", "the word that will call it in prompts, as 'sks'")] = ""
    class_words: Annotated[
        str, Control("What it is", "the ordinary word for its kind, as 'dog'; the trigger is put before it")
    ] = ""
    fallback_caption: Annotated[str, Control("Caption of pictures without one", "in place of their file names")] = ""
    template: Annotated[str, Control("Prompt template", "a file with [name] and [filewords], one prompt a line")] = ""
    prior: Annotated[
        Prior,
        Control(
            "Keep its kind as it is",
            "prediction: the untouched model draws a few and tells what to keep. pictures: those of ordinary ones do",
        ),
    ] = "prediction"
    class_data: Annotated[
        str, Control("Pictures of ordinary ones of its kind", "a folder; missing ones are drawn first")
    ] = ""
    class_pictures: Annotated[
        int, Field(ge=1, le=10_000), Control("How many of those", "prediction draws 24 at most", 1, 500, 1)
    ] = 100
    prior_weight: Annotated[float, Field(ge=0, le=100), Control("Weight of keeping it", "", 0, 2, 0.05)] = 1.0
    width: Annotated[int, Field(ge=32, le=4096), Control("Width", "in pixels", 64, 2048, 8)] = 512
    height: Annotated[int, Field(ge=32, le=4096), Control("Height", "in pixels", 64, 2048, 8)] = 512
    buckets: Annotated[bool, Control("Keep each picture's proportions", "off: all are cut to one size")] = True
    upscale: Annotated[bool, Control("Enlarge small pictures")] = True
    flip: Annotated[bool, Control("Mirror at random", "not for what has a left and a right")] = False
    shuffle_captions: Annotated[bool, Control("Shuffle the parts of captions")] = False
    keep_parts: Annotated[int, Field(ge=0, le=100), Control("First parts that stay in place", "", 0, 10, 1)] = 0
    drop_parts: Annotated[float, Field(ge=0, lt=1), Control("Leave parts out", "chance of each", 0, 0.9, 0.05)] = 0.0
    drop_captions: Annotated[
        float, Field(ge=0, lt=1), Control("Leave whole captions out", "chance; keeps CFG working", 0, 0.5, 0.01)
    ] = 0.0
    masked_loss: Annotated[
        bool, Control("Learn only what masks cover", "white in a folder 'masks'; else what is not transparent")
    ] = False
    validation_share: Annotated[
        float, Field(ge=0, le=0.5), Control("Hold back to test on", "share of the pictures", 0, 0.5, 0.05)
    ] = 0.0


class LearningFields(BaseModel):
    """How long and how fast. learning_rate: A1111's 'rate:step, rate' syntax or one number. epochs: where it is not 0,
    `steps` follows from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: Annotated[int, Field(ge=1, le=1_000_000), Control("Steps", "", 1, 10_000, 1)] = 1000
    epochs: Annotated[
        int, Field(ge=0, le=100_000), Control("Epochs", "times that all pictures are shown; 0: count steps", 0, 500, 1)
    ] = 0
    learning_rate: Annotated[str, Control("Learning rate", "as 1e-4, or 5e-3:200, 1e-3")] = "1e-4"
    text_encoder_rate: Annotated[
        float | None,
        Field(ge=0, le=10),
        Control("Text encoder's learning rate", "as a share of the U-Net's; empty: not trained"),
    ] = None
    schedule: Annotated[ScheduleName, Control("Learning rate over time")] = "constant"
    schedule_cycles: Annotated[
        int, Field(ge=1, le=1000), Control("Restarts", "cosines of a cosine_with_restarts", 1, 10, 1)
    ] = 1
    schedule_power: Annotated[float, Field(gt=0, le=10), Control("Power", "of a polynomial", 0.5, 4, 0.1)] = 1.0
    warm_up: Annotated[
        float, Field(ge=0, le=100_000), Control("Warm-up", "steps; below 1 a share of them", 0, 1000, 1)
    ] = 0
    batch_size: Annotated[int, Field(ge=1, le=256), Control("Batch size", "", 1, 16, 1)] = 1
    accumulation: Annotated[int, Field(ge=1, le=256), Control("Batches a step", "saves memory", 1, 16, 1)] = 1
    optimizer: Annotated[Literal["AdamW", "AdamW8bit", "Adafactor", "Lion", "Prodigy"], Control("Optimiser")] = "AdamW"
    weight_decay: Annotated[float, Field(ge=0, le=1), Control("Weight decay", "", 0, 0.1, 0.001)] = 0.0
    clip: Annotated[float, Field(ge=0, le=1000), Control("Largest gradient", "0: no limit", 0, 10, 0.1)] = 1.0
    average: Annotated[
        float, Field(ge=0, lt=1), Control("Average of the weights", "decay a step; 0: none", 0, 0.9999, 0.0001)
    ] = 0.0
    cards: Annotated[
        int, Field(ge=1, le=64), Control("Graphics cards", "that share the batches of a step", 1, 8, 1)
    ] = 1
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], Control("Precision")] = "auto"
    gradient_checkpointing: Annotated[bool, Control("Save memory, take longer", "gradient checkpointing")] = False
    noise_offset: Annotated[float, Field(ge=0, le=1), Control("Noise offset", "darker darks", 0, 0.2, 0.01)] = 0.0
    min_snr_gamma: Annotated[
        float, Field(ge=0, le=100), Control("Min-SNR gamma", "0: off; 5 is usual, not for v-prediction", 0, 20, 0.5)
    ] = 0.0
    clip_skip: Annotated[int, Field(ge=1, le=12), Control("Clip skip", "", 1, 12, 1)] = 1
    seed: Annotated[int, Field(ge=0, le=2**63 - 1), Control("Seed")] = 0


class MethodFields(BaseModel):
    """What is trained. Fields of other methods than the chosen one are not read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank: Annotated[int, Field(ge=1, le=1024), Control("Rank", "size of a LoRA", 1, 128, 1)] = 16
    alpha: Annotated[float, Field(gt=0, le=1024), Control("Alpha", "its strength is alpha / rank", 1, 128, 1)] = 16.0
    lora_kind: Annotated[LoraKind, Control("Kind")] = "LoRA"
    conv_rank: Annotated[int, Field(ge=0, le=1024), Control("Rank of convolutions", "0: none", 0, 64, 1)] = 0
    conv_alpha: Annotated[float, Field(gt=0, le=1024), Control("Alpha of convolutions", "", 1, 64, 1)] = 8.0
    lokr_factor: Annotated[int, Field(ge=-1, le=4096), Control("Factor of LoKr", "-1: the largest", -1, 64, 1)] = -1
    network_dropout: Annotated[float, Field(ge=0, lt=1), Control("Dropout", "", 0, 0.9, 0.05)] = 0.0
    vectors: Annotated[int, Field(ge=1, le=75), Control("Vectors", "tokens that the word takes", 1, 32, 1)] = 1
    initial_text: Annotated[str, Control("Begin from the meaning of", "a word; empty: from zeros")] = "*"
    widths: Annotated[tuple[int, ...], Control("Modules")] = (768, 320, 640, 1280)
    layer_structure: Annotated[tuple[float, ...], Control("Layer structure", "first and last are 1")] = (1, 2, 1)
    activation: Annotated[str, Control("Activation")] = "linear"
    weight_init: Annotated[
        Literal["Zero", "Normal", "KaimingUniform", "KaimingNormal", "XavierUniform", "XavierNormal"],
        Control("First weights", "Zero and Normal begin near the untouched model"),
    ] = "Normal"
    layer_norm: Annotated[bool, Control("Layer normalisation")] = False
    dropout_structure: Annotated[tuple[float, ...], Control("Dropout of each layer", "empty: none")] = ()


FIELDS_OF: Mapping[str, tuple[str, ...]] = {
    "lora": (
        "rank",
        "alpha",
        "lora_kind",
        "conv_rank",
        "conv_alpha",
        "lokr_factor",
        "network_dropout",
        "text_encoder_rate",
    ),
    "dreambooth": ("text_encoder_rate",),
    "textual_inversion": ("vectors", "initial_text", "save_format"),
    "hypernetwork": (
        "widths",
        "layer_structure",
        "activation",
        "weight_init",
        "layer_norm",
        "dropout_structure",
    ),
}
"""Fields that only these methods read."""


class WatchingFields(BaseModel):
    """What is seen and kept while it runs. sample_prompts: in kohya's syntax, one a line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sample_prompts: Annotated[str, Control("Sample prompts", "one a line; --n --w --h --d --l --s as in kohya's")] = ""
    sample_every: Annotated[int, Field(ge=0), Control("Draw samples every", "steps; 0: never", 0, 1000, 1)] = 100
    save_every: Annotated[int, Field(ge=0), Control("Keep a copy every", "steps; 0: never", 0, 5000, 1)] = 0
    keep_copies: Annotated[int, Field(ge=1, le=1000), Control("Copies to keep", "", 1, 20, 1)] = 5
    keep_best: Annotated[
        bool, Control("Keep the file of the best step", "to go back to when it has learnt too much")
    ] = True
    tensorboard: Annotated[bool, Control("Write a TensorBoard log", "into the run's folder")] = False
    snapshot_seconds: Annotated[float, Field(ge=0, le=3600), Control("Snapshot every", "seconds", 10, 600, 10)] = 60.0
    overwrite: Annotated[bool, Control("Replace a file of the same name")] = False
    save_precision: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"],
        Control("Precision of the file", "auto: a checkpoint's as its base has it, a LoRA's fp16"),
    ] = "auto"
    save_format: Annotated[
        Literal["auto", "safetensors"],
        Control("Format of an embedding", "auto: A1111's .pt, for SDXL .safetensors"),
    ] = "auto"


class TrainingRequest(DataFields, LearningFields, MethodFields, WatchingFields):
    """One training. name: of the file that comes out, without folder and suffix. checkpoint, vae: as in requests.

    session, created: an id and the second (Unix time) at which it was asked for, set once when it is; they stand in the
    file, so that one that was interrupted comes out the same. comment: goes into the file too. method_settings: of an
    extension's method alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: int = TRAINING_VERSION
    method: Annotated[Method | OwnMethod, Control("Method")] = "lora"
    method_settings: dict[str, JsonValue] = Field(default_factory=dict)
    name: Annotated[str, Control("Name", "of the file that comes out")] = ""
    checkpoint: Annotated[str, Control("Checkpoint")] = ""
    vae: Annotated[str, Control("SD VAE")] = "Automatic"
    comment: Annotated[str, Control("Comment", "kept in the file")] = ""
    session: str = ""
    created: Annotated[int, Field(ge=0)] = 0

    @property
    def prior_used(self) -> Prior:
        """`prior`, but 'none' where it has nothing to do: beside a textual inversion, which leaves the model as it is,
        and at a weight of 0."""
        return "none" if self.method == "textual_inversion" or not self.prior_weight else self.prior

    @field_validator("layer_structure")
    @classmethod
    def _begins_and_ends_with_1(cls, structure: tuple[float, ...]) -> tuple[float, ...]:
        if len(structure) < 2 or structure[0] != 1 or structure[-1] != 1 or min(structure) <= 0 or max(structure) > 16:
            raise ValueError("it begins and ends with 1 and holds numbers up to 16, as 1, 2, 1")
        return structure

    @field_validator("dropout_structure")
    @classmethod
    def _shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= share < 1 for share in shares):
            raise ValueError("it holds shares from 0 to below 1, as 0, 0.3, 0")
        return shares

    @field_validator("widths")
    @classmethod
    def _bounded(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if not widths or any(not 1 <= width <= 16_384 for width in widths):
            raise ValueError("it names at least one width of 1 to 16384")
        return widths


def parse_training(data: dict[str, Any]) -> TrainingRequest:
    """A training from untrusted values.

    Raises TrainingProblem naming the first field at fault, NewerVersion for data of a newer program.
    """
    version = data.get("version", TRAINING_VERSION)
    if isinstance(version, int) and version > TRAINING_VERSION:
        raise NewerVersion(
            f"This training was written by a newer Easel (version {version}; this one reads {TRAINING_VERSION}).",
            hint="Update Easel to run it.",
        )
    try:
        return TrainingRequest.model_validate(data)
    except ValidationError as error:
        problem = first_problem(error)
        # The page has one input for a list.
        raise TrainingProblem(problem.words, field=problem.field.partition(".")[0] or None) from None
