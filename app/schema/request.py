"""GenerationRequest: one frozen object for the page, the API and the command line.

Everything that changes a picture is a field here; no global option does. Names that need the machine
(checkpoint, VAE, sampler of an extension) are only looked up when a job is submitted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from app.schema.choices import AUTOMATIC, DEFAULT_SAMPLER
from app.schema.control import Control
from app.schema.errors import InvalidField, InvalidPrompt, NewerVersion
from app.schema.expansion import PartPlan
from app.schema.guidance_fields import GuidanceFields
from app.schema.picture_fields import PictureFields
from app.schema.problems import first_problem
from app.schema.prompt_fields import PromptFields
from app.schema.sampling_fields import SamplingFields

REQUEST_VERSION = 1
LONGEST_PROMPT = 65_536
MOST_IMAGES = 10_000
LARGEST_SEED = 2**64 - 1

Seed = Annotated[int, Field(ge=-1, le=LARGEST_SEED)]


class GenerationRequest(SamplingFields, GuidanceFields, PromptFields, PictureFields):
    """What one job is to make: batch_count x batch_size pictures of width x height pixels.

    Defaults are neutral; each front end fills in its own (the API's differ from the page's).
    checkpoint and vae: any name that A1111 accepts; "" stands for the one to be chosen at submission.
    token_merging_ratio: share of the tokens that attention merges (Bolya and Hoffman 2023).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: int = REQUEST_VERSION
    prompt: Annotated[str, Control("Prompt", api="prompt")] = ""
    negative_prompt: Annotated[str, Control("Negative prompt", api="negative_prompt")] = ""
    styles: Annotated[tuple[str, ...], Control("Styles", choices="styles", api="styles")] = ()
    checkpoint: Annotated[
        str,
        Control(
            "Stable Diffusion checkpoint",
            choices="checkpoints",
            api="sd_model_checkpoint",
            infotext="Model hash",
            change_cost=10,
        ),
    ] = ""
    vae: Annotated[
        str,
        Control(
            "SD VAE",
            "Automatic, None (built in) or a file",
            choices="vaes",
            api="sd_vae",
            infotext="VAE",
            change_cost=7,
        ),
    ] = AUTOMATIC
    text_encoder: Annotated[
        str,
        Control(
            "Text encoder",
            "lent to a checkpoint without one: files in models/text_encoder or a checkpoint, commas between several",
            api="sd_text_encoder",
            infotext="Text encoder",
            change_cost=9,
        ),
    ] = AUTOMATIC
    sampler: Annotated[str, Control("Sampling method", choices="samplers", api="sampler_name", infotext="Sampler")] = (
        DEFAULT_SAMPLER
    )
    schedule: Annotated[
        str, Control("Schedule type", choices="schedules", api="scheduler", infotext="Schedule type")
    ] = AUTOMATIC
    steps: Annotated[
        int, Field(ge=1, le=10_000), Control("Sampling steps", "", 1, 150, 1, api="steps", infotext="Steps")
    ] = 20
    width: Annotated[
        int, Field(ge=8, le=16_384), Control("Width", "in pixels", 64, 2048, 8, api="width", infotext="Size-1")
    ] = 512
    height: Annotated[
        int, Field(ge=8, le=16_384), Control("Height", "in pixels", 64, 2048, 8, api="height", infotext="Size-2")
    ] = 512
    batch_count: Annotated[
        int,
        Field(ge=1, le=MOST_IMAGES),
        Control("Batch count", "batches made one after the other", 1, 100, 1, api="n_iter"),
    ] = 1
    batch_size: Annotated[
        int,
        Field(ge=1, le=64),
        Control("Batch size", "pictures made in one call; needs memory", 1, 8, 1, api="batch_size"),
    ] = 1
    seed: Annotated[Seed, Control("Seed", "-1 draws a new one", api="seed", infotext="Seed")] = -1
    variation_seed: Annotated[
        Seed, Control("Variation seed", "-1 draws a new one", api="subseed", infotext="Variation seed")
    ] = -1
    variation_strength: Annotated[
        float,
        Field(ge=0, le=1),
        Control(
            "Variation strength",
            "0: the seed alone",
            0,
            1,
            0.01,
            api="subseed_strength",
            infotext="Variation seed strength",
        ),
    ] = 0.0
    seed_resize_width: Annotated[
        int,
        Field(ge=0, le=16_384),
        Control(
            "Resize seed from width", "0: off", 0, 2048, 8, api="seed_resize_from_w", infotext="Seed resize from-1"
        ),
    ] = 0
    seed_resize_height: Annotated[
        int,
        Field(ge=0, le=16_384),
        Control(
            "Resize seed from height", "0: off", 0, 2048, 8, api="seed_resize_from_h", infotext="Seed resize from-2"
        ),
    ] = 0
    inpainting_mask_weight: Annotated[
        float,
        Field(ge=0, le=1),
        Control(
            "Inpainting conditioning mask strength",
            "how much of the picture under the mask an inpainting model does not see",
            0,
            1,
            0.01,
            api="inpainting_mask_weight",
            infotext="Conditional mask weight",
        ),
    ] = 1.0
    token_merging_ratio: Annotated[
        float,
        Field(ge=0, le=0.9),
        Control(
            "Token merging ratio",
            "0: off; faster, and a little different",
            0,
            0.9,
            0.1,
            api="token_merging_ratio",
            infotext="Token merging ratio",
        ),
    ] = 0.0
    tiling: Annotated[
        bool, Control("Tiling", "a picture that repeats without a seam", api="tiling", infotext="Tiling")
    ] = False
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Control(
            "Precision", "auto: as the server was started", choices="precisions", infotext="Precision", change_cost=9
        ),
    ] = "auto"
    save_images: Annotated[bool, Control("Save pictures", "off: kept for a day only", api="save_images")] = True
    extensions: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _readable_text(cls, text: str) -> str:
        if len(text) > LONGEST_PROMPT:
            raise ValueError(f"has {len(text):,} characters; the limit is {LONGEST_PROMPT:,}")
        if "\0" in text:
            raise ValueError(f"holds a NUL character at position {text.index(chr(0))}; remove it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"holds half a character (a lone surrogate) at position {error.start}; remove it"
            ) from None
        return text

    @property
    def image_count(self) -> int:
        """Pictures the job makes."""
        return self.batch_count * self.batch_size


class FileIdentity(BaseModel):
    """One file as it was when a job was submitted; sha256 is added before the first infotext is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    size: int
    mtime_ns: int
    sha256: str | None = None


class FaceFiles(BaseModel):
    """What restores faces: the network that draws them anew, and the detector that finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    restorer: FileIdentity
    detector: FileIdentity


class NetworkUse(BaseModel):
    """One network that a prompt switches on, as it was when the job was submitted.

    kind: 'lora', 'hypernet' or 'embedding'. text, unet: factors of its effect on each. rank: of the change at most,
    None for the file's own. hash: as infotexts print it, "" while it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    file: FileIdentity
    text: float = 1.0
    unet: float = 1.0
    rank: int | None = None
    hash: str = ""


class ResolvedRequest(BaseModel):
    """A request in which nothing can drift any more: seeds are numbers, names are files, styles are text.

    prompt and negative_prompt of `request` hold the text after styles and comments.
    checkpoint_name: file stem, as written to the infotext. schedule_label: as printed ('Karras' for DPM++ 2M).
    text_encoders: files that lend the checkpoint the text encoders it lacks.
    networks: those that the prompts name, in order. missing_networks: names in tags that no file answers to.
    upscalers, face_restorers: the files of those that the request names, by name. passes: what further passes of the
    picture ask for, by the extension that makes them. parts: its pictures where an extension chooses them, and
    variants: the requests that these are made by; both empty where they differ in nothing but their seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: GenerationRequest
    checkpoint: FileIdentity
    checkpoint_name: str
    vae: FileIdentity | None = None
    text_encoders: tuple[FileIdentity, ...] = ()
    schedule_label: str = AUTOMATIC
    networks: tuple[NetworkUse, ...] = ()
    missing_networks: tuple[str, ...] = ()
    upscalers: dict[str, FileIdentity] = Field(default_factory=dict)
    face_restorers: dict[str, FaceFiles] = Field(default_factory=dict)
    passes: dict[str, ResolvedRequest] = Field(default_factory=dict)
    parts: tuple[PartPlan, ...] = ()
    variants: tuple[ResolvedRequest, ...] = ()

    @property
    def image_count(self) -> int:
        """Pictures the job makes."""
        return len(self.parts) or self.request.image_count

    def of_image(self, image: int) -> ResolvedRequest:
        """What one of its pictures is made by."""
        return self.variants[self.parts[image].variant] if self.parts else self

    @property
    def everything(self) -> tuple[ResolvedRequest, ...]:
        """This one, its variants, and all their passes."""
        return (*self.all_passes, *(one for variant in self.variants for one in variant.all_passes))

    @property
    def all_passes(self) -> tuple[ResolvedRequest, ...]:
        """This one and its further passes, and theirs."""
        return (self, *(one for further in self.passes.values() for one in further.all_passes))


class ImagePlan(NamedTuple):
    """One picture of a job: what the engine makes into a row.

    job: its id. owner: who pays for the seconds. image: 0 ... image_count - 1. batch: images with equal
    numbers may share model calls. seed, variation_seed: this picture's own. source: the picture of the same job that
    is redrawn in place of the request's own; None for that one.
    """

    job: str
    owner: str
    image: int
    batch: int
    seed: int
    variation_seed: int
    resolved: ResolvedRequest
    source: int | None = None

    def redrawing(self, digest: str) -> ImagePlan:
        """The same with the picture that it was waiting for, by the hash of its bytes."""
        request = self.resolved.request.model_copy(update={"init_images": (digest,)})
        return self._replace(resolved=self.resolved.model_copy(update={"request": request}), source=None)


def parse_request(data: dict[str, Any]) -> GenerationRequest:
    """A request from untrusted values.

    Raises InvalidField naming the first field at fault, InvalidPrompt for a prompt that cannot be read,
    NewerVersion when the data come from a newer program.
    """
    version = data.get("version", REQUEST_VERSION)
    if isinstance(version, int) and version > REQUEST_VERSION:
        raise NewerVersion(
            f"This request was written by a newer Easel (version {version}; this one reads {REQUEST_VERSION}).",
            hint="Update Easel to run it.",
        )
    try:
        request = GenerationRequest.model_validate(data)
    except ValidationError as error:
        raise _first_problem(error) from None
    if request.image_count > MOST_IMAGES:
        raise InvalidField(
            f"Batch count x batch size asks for {request.image_count:,} pictures; the limit is {MOST_IMAGES:,}.",
            field="batch_count",
        )
    return request


def _first_problem(error: ValidationError) -> InvalidField:
    field, text, shown = first_problem(error)
    if field in ("prompt", "negative_prompt"):
        return InvalidPrompt(f"The {field.replace('_', ' ')} {text}.", field=field)
    return InvalidField(f"{field}: {text}{shown}.", field=field or None)
