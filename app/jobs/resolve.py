"""Resolve: nothing in a request may drift: names become files, -1 a seed, styles text.

Looks names up in the library as it is now; knows nothing of storage.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.files import CHECKPOINT, VAE, ModelFile, ModelLibrary
from app.jobs.networks import networks_of
from app.language import Reading, Style, Timing, Tokenizer, final_prompts, plan_texts
from app.schema.choices import AUTOMATIC, find_sampler, find_schedule, split_sampler_name
from app.schema.errors import EaselError, ModelNotFound
from app.schema.request import FileIdentity, GenerationRequest, ResolvedRequest, parse_request

STARTER = "starter"
BUILT_IN = ("", "None", "Baked in")
LARGEST_DRAWN_SEED = 4_294_967_293


def draw_seed() -> int:
    """0 to 4294967293, as A1111 draws (a1111-facts 3.3)."""
    return secrets.randbelow(LARGEST_DRAWN_SEED + 1)


@dataclass(frozen=True)
class Resolver:
    """What resolution needs to know of this machine.

    default_checkpoint: the name that "" stands for, itself "" when none was chosen. styles: those in styles.csv now.
    require_picture(hash, field): raises BlobNotFound for an input picture that is not stored.
    precision: what a request's word ('auto' too) comes to here: 'fp32', 'bf16' or 'fp16'.
    """

    library: ModelLibrary
    precision: Callable[[str], str]
    default_checkpoint: Callable[[], str] = lambda: ""
    styles: Callable[[], Iterable[Style]] = lambda: ()
    draw_seed: Callable[[], int] = draw_seed
    require_picture: Callable[[str, str], None] = lambda digest, field: None
    tokenizer: Tokenizer = field(default_factory=Tokenizer)

    def __call__(self, request: GenerationRequest) -> ResolvedRequest:
        """Raises UnknownChoice for a sampler or schedule, ModelNotFound or the file's own problem for a model,
        InvalidPrompt for a text that cannot be read."""
        sampler, schedule = self._sampling(request)
        for digest in request.init_images:
            self.require_picture(digest, "init_images")
        if request.mask is not None:
            self.require_picture(request.mask, "mask")
        checkpoint = self.checkpoint(request.checkpoint)
        vae = self._vae(request.vae, checkpoint)
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
                "seed": self.draw_seed() if request.seed == -1 else request.seed,
                "variation_seed": self.draw_seed() if request.variation_seed == -1 else request.variation_seed,
                "precision": self.precision(request.precision),
            }
        )
        # What cannot be encoded is refused now, not when its turn comes.
        plan_texts(prompt, negative_prompt, Reading(Timing(resolved.steps), resolved.emphasis))
        networks = networks_of(resolved, self.library, checkpoint, self.tokenizer)
        return ResolvedRequest(
            request=resolved,
            checkpoint=identity_of(checkpoint),
            checkpoint_name=checkpoint.stem,
            vae=identity_of(vae) if vae else None,
            schedule_label=_printed(sampler, schedule),
            networks=networks.uses,
            missing_networks=networks.missing,
        )

    @staticmethod
    def _sampling(request: GenerationRequest) -> tuple[str, str]:
        if request.schedule:
            find_schedule(request.schedule)
        return split_sampler_name(request.sampler, request.schedule, convert_automatic=False)

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

    def _vae(self, name: str, checkpoint: ModelFile) -> ModelFile | None:
        if name == AUTOMATIC:
            return self.library.vae_of(checkpoint)
        return None if name in BUILT_IN else self.library.find(name, VAE)


def _whole(file: ModelFile) -> bool:
    """Whether a checkpoint draws without help; nothing is known of the parts of a folder."""
    return not file.summary.parts or {"unet", "vae", "text encoder"} <= set(file.summary.parts)


def identity_of(file: ModelFile) -> FileIdentity:
    """A library entry as a stored request remembers it."""
    return FileIdentity(path=str(file.path), size=file.size, mtime_ns=file.mtime_ns, sha256=file.sha256)


def _printed(sampler: str, schedule: str) -> str:
    """The schedule as infotexts print it: the sampler's default in place of Automatic, where it has one."""
    return (schedule == AUTOMATIC and find_sampler(sampler).default_schedule) or schedule
