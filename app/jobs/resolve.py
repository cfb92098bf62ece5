"""Resolve: nothing in a request may drift: names become files, -1 a seed, styles text.

Looks names up in the library as it is now; knows nothing of storage.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import BaseModel, JsonValue, ValidationError

from app.files import CHECKPOINT, VAE, ModelFile, ModelLibrary, NamedUpscaler, find_face_restorer, find_upscaler
from app.hooks import NetworkKind, Part
from app.jobs.faces import face_files_of
from app.jobs.networks import networks_of
from app.jobs.text_encoders import lenders_of
from app.language import Reading, Style, Timing, Tokenizer, final_prompts, plan_texts
from app.schema.choices import (
    AUTOMATIC,
    BUILT_IN,
    NO_UPSCALER,
    Choices,
    find_sampler,
    find_schedule,
    split_sampler_name,
)
from app.schema.control import controls_of
from app.schema.errors import EaselError, InvalidField, ModelNotFound, UnknownChoice
from app.schema.expansion import PartPlan
from app.schema.infotext import Models
from app.schema.problems import first_problem
from app.schema.request import MOST_IMAGES, FaceFiles, FileIdentity, GenerationRequest, ResolvedRequest, parse_request

FurtherPass = Callable[[GenerationRequest], GenerationRequest | None]
"""From a resolved request to what a further pass of its picture asks for, None for no such pass."""
Expander = Callable[[GenerationRequest], Sequence[Part]]
"""From a resolved request to the pictures that it becomes."""
STARTER = "starter"
OWN_VAE = ("", "None", "Baked in")
LARGEST_DRAWN_SEED = 4_294_967_293


def draw_seed() -> int:
    """0 to 4294967293, as A1111 draws (a1111-facts 3.3)."""
    return secrets.randbelow(LARGEST_DRAWN_SEED + 1)


@dataclass(frozen=True)
class Resolver:
    """What resolution needs to know of this machine.

    default_checkpoint: the name that "" stands for, itself "" when none was chosen. styles: those in styles.csv now.
    require_picture(hash, field): raises BlobNotFound for an input picture that is not stored.
    precision: what a request's word ('auto' too) comes to here: 'fp32', 'bf16' or 'fp16'. extensions, passes,
    expanders: by the names of extensions, the models of their values, their further passes, and how they expand.
    choices: what may be chosen by name.
    """

    library: ModelLibrary
    precision: Callable[[str], str]
    default_checkpoint: Callable[[], str] = lambda: ""
    styles: Callable[[], Iterable[Style]] = lambda: ()
    draw_seed: Callable[[], int] = draw_seed
    require_picture: Callable[[str, str], None] = lambda digest, field: None
    extensions: Models = field(default_factory=dict)
    passes: Mapping[str, FurtherPass] = field(default_factory=dict)
    expanders: Mapping[str, Expander] = field(default_factory=dict)
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    network_kinds: Mapping[str, NetworkKind] = field(default_factory=dict)
    choices: Choices = BUILT_IN

    def __call__(self, request: GenerationRequest) -> ResolvedRequest:
        """Raises UnknownChoice for a sampler or schedule, ModelNotFound or the file's own problem for a model,
        InvalidPrompt for a text that cannot be read."""
        return self._expanded(self._one(request))

    def _one(self, request: GenerationRequest) -> ResolvedRequest:
        sampler, schedule = self._sampling(request)
        for digest in request.init_images:
            self.require_picture(digest, "init_images")
        if request.mask is not None:
            self.require_picture(request.mask, "mask")
        checkpoint = self.checkpoint(request.checkpoint)
        vae = self.vae(request.vae, checkpoint)
        lenders = lenders_of(checkpoint, request.text_encoder, self.library)
        styles = list(self.styles()) if request.styles else []
        prompt, negative_prompt = final_prompts(
            request.prompt, request.negative_prompt, request.styles, styles, comments=request.prompt_comments
        )
        resolved = parse_request(
            {
                **dict(request),
                "prompt": prompt,
                "negative_prompt": negative_prompt,
                "styles": (),
                "sampler": sampler,
                "schedule": schedule,
                "checkpoint": checkpoint.title,
                "text_encoder": ", ".join(file.name for file in lenders) or AUTOMATIC,
                "seed": self.draw_seed() if request.seed == -1 else request.seed,
                "variation_seed": self.draw_seed() if request.variation_seed == -1 else request.variation_seed,
                "precision": self.precision(request.precision),
                "resize_upscaler": self._upscaler(request.resize_upscaler or NO_UPSCALER).name,
                "extensions": self._extensions(request, styles),
            }
        )
        # What cannot be encoded is refused now, not when its turn comes.
        plan_texts(prompt, negative_prompt, Reading(Timing(resolved.steps), resolved.emphasis))
        networks = networks_of(resolved, self.library, checkpoint, self.tokenizer, self.network_kinds)
        return ResolvedRequest(
            request=resolved,
            checkpoint=identity_of(checkpoint),
            checkpoint_name=checkpoint.stem,
            vae=identity_of(vae) if vae else None,
            text_encoders=tuple(identity_of(file) for file in lenders),
            schedule_label=self._printed(sampler, schedule),
            networks=networks.uses,
            missing_networks=networks.missing,
            upscalers=self._upscalers(resolved),
            face_restorers=self._face_restorers(resolved),
            passes=self._passes(resolved),
        )

    def _extensions(self, request: GenerationRequest, styles: Sequence[Style]) -> dict[str, dict[str, JsonValue]]:
        """The values of the extensions that the request names, checked, their names and texts made final."""
        found = {}
        for name, values in request.extensions.items():
            model = self.extensions.get(name)
            if model is None:
                raise UnknownChoice(
                    f"There is no extension '{name[:80]}' here that a request could ask for.",
                    field=f"extensions.{name[:80]}",
                    hint="Install or enable it, or leave it out.",
                )
            with _naming(name):
                found[name] = self._final(_checked(model, values), request, styles)
        return found

    def _final(self, values: BaseModel, request: GenerationRequest, styles: Sequence[Style]) -> dict[str, JsonValue]:
        final = values.model_dump(mode="json", exclude_none=True)
        for name, control in controls_of(type(values)).items():
            value = final.get(name)
            if not isinstance(value, str) or value == type(values).model_fields[name].default:
                continue
            if control.choices == "checkpoints":
                final[name] = self.library.find(value, CHECKPOINT).title
            elif control.choices == "upscalers":
                final[name] = self._upscaler(value, latent=True).name
            elif control.choices == "face_restorers":
                final[name] = find_face_restorer(self.library, value, name).name
            elif control.holds == "picture":
                self.require_picture(value, name)
            elif control.holds in ("prompt", "negative_prompt"):
                texts = {"prompt": "", "negative_prompt": "", control.holds: value}
                prompt, negative_prompt = final_prompts(
                    **texts, style_names=request.styles, styles=styles, comments=request.prompt_comments
                )
                final[name] = prompt if control.holds == "prompt" else negative_prompt
        return final

    def _upscalers(self, request: GenerationRequest) -> dict[str, FileIdentity]:
        """The files of the upscalers that request and extensions name."""
        named = {getattr(request, name) for name in _fields_of(GenerationRequest, "upscalers")}
        for name, values in request.extensions.items():
            model = self.extensions[name]
            whole = model.model_validate(values)
            named |= {getattr(whole, field) for field in _fields_of(model, "upscalers")}
        found = [self._upscaler(name, latent=True) for name in sorted(named)]
        return {one.name: identity_of(one.file) for one in found if one.file is not None}

    def _face_restorers(self, request: GenerationRequest) -> dict[str, FaceFiles]:
        """The files of the face restorers that extensions name."""
        found = {}
        for name, values in request.extensions.items():
            whole = self.extensions[name].model_validate(values)
            for choice in _fields_of(self.extensions[name], "face_restorers"):
                with _naming(name):
                    wanted = getattr(whole, choice)
                    _, found[wanted] = face_files_of(self.library, wanted, choice)
        return found

    def _passes(self, request: GenerationRequest) -> dict[str, ResolvedRequest]:
        """What the extensions' further passes ask for; a pass does not name the extension that makes it."""
        passes = {}
        for name in request.extensions:
            wanted = self.passes[name](request) if name in self.passes else None
            if wanted is not None:
                others = {other: values for other, values in wanted.extensions.items() if other != name}
                with _naming(name):
                    passes[name] = self._one(wanted.model_copy(update={"extensions": others}))
        return passes

    def _expanded(self, resolved: ResolvedRequest) -> ResolvedRequest:
        """The same with the pictures that an extension makes of it; equal requests are resolved and stored once."""
        named = [name for name in resolved.request.extensions if name in self.expanders]
        if not named:
            return resolved
        if len(named) > 1:
            raise InvalidField(
                f"{' and '.join(named)} each choose the pictures of a request; only one of them can.",
                field=f"extensions.{named[1]}",
                hint="Leave one of them out.",
            )
        with _naming(named[0]):
            return self._in_parts(resolved, self.expanders[named[0]](resolved.request))

    def _in_parts(self, resolved: ResolvedRequest, parts: Sequence[Part]) -> ResolvedRequest:
        if not 0 < len(parts) <= MOST_IMAGES:
            raise InvalidField(f"It asks for {len(parts):,} pictures; the limit is {MOST_IMAGES:,}.")
        variants: dict[str, tuple[int, ResolvedRequest]] = {}
        plans = []
        for number, part in enumerate(parts):
            if part.source is not None and not 0 <= part.source < number:
                raise InvalidField(f"Picture {number} cannot follow from picture {part.source}.")
            request = part.request
            key = request.model_copy(update={"seed": 0, "variation_seed": 0}).model_dump_json()
            if key not in variants:
                variants[key] = (len(variants), self._one(request))
            plans.append(
                PartPlan(
                    variant=variants[key][0],
                    seed=request.seed,
                    variation_seed=request.variation_seed,
                    batch=part.batch,
                    source=part.source,
                )
            )
        made = tuple(variant for _, variant in variants.values())
        return resolved.model_copy(update={"parts": tuple(plans), "variants": made})

    def _sampling(self, request: GenerationRequest) -> tuple[str, str]:
        if request.schedule:
            find_schedule(request.schedule, self.choices)
        return split_sampler_name(request.sampler, request.schedule, self.choices, convert_automatic=False)

    def _upscaler(self, name: str, *, latent: bool = False) -> NamedUpscaler:
        return find_upscaler(self.library, name, self.choices.upscalers, latent=latent)

    def _printed(self, sampler: str, schedule: str) -> str:
        """The schedule as infotexts print it: the sampler's default in place of Automatic, where it has one."""
        return (schedule == AUTOMATIC and find_sampler(sampler, self.choices).default_schedule) or schedule

    def checkpoint(self, name: str) -> ModelFile:
        """The file that a name means; for "" the chosen default, else the first that is not the starter."""
        if name:
            return self.library.find(name, CHECKPOINT)
        chosen = self.default_checkpoint()
        if chosen:
            try:
                return self.library.find(chosen, CHECKPOINT)
            except EaselError:  # the file chosen once is gone or damaged: what is left serves
                pass
        usable = self._usable()
        if not usable:
            self.library.refresh(CHECKPOINT)
            usable = self._usable()
        if not usable:
            raise ModelNotFound(
                "There is no checkpoint to draw with.",
                field="checkpoint",
                hint="Put a .safetensors file into models/Stable-diffusion and refresh the list.",
            )
        usable.sort(key=lambda file: (not _whole(file), file.stem == STARTER))
        return self.library.find(usable[0].name, CHECKPOINT)

    def _usable(self) -> list[ModelFile]:
        return [file for file in self.library.list(CHECKPOINT) if file.problem is None]

    def vae(self, name: str, checkpoint: ModelFile) -> ModelFile | None:
        """The file that a VAE's name means for a checkpoint; None for the checkpoint's own."""
        if name == AUTOMATIC:
            return self.library.vae_of(checkpoint)
        return None if name in OWN_VAE else self.library.find(name, VAE)


def _checked(model: type[BaseModel], values: Mapping[str, JsonValue]) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error)
        raise InvalidField(problem.words, field=problem.field) from None


@contextmanager
def _naming(extension: str) -> Iterator[None]:
    """A problem's field says whose it is."""
    try:
        yield
    except EaselError as problem:
        problem.field = f"extensions.{extension}.{problem.field}" if problem.field else f"extensions.{extension}"
        raise


def _fields_of(model: type[BaseModel], choices: str) -> list[str]:
    return [name for name, control in controls_of(model).items() if control.choices == choices]


def _whole(file: ModelFile) -> bool:
    """Whether a checkpoint draws without help; nothing is known of the parts of a folder."""
    return not file.summary.parts or {"unet", "vae", "text encoder"} <= set(file.summary.parts)


def identity_of(file: ModelFile) -> FileIdentity:
    """A library entry as a stored request remembers it."""
    return FileIdentity(path=str(file.path), size=file.size, mtime_ns=file.mtime_ns, sha256=file.sha256)
