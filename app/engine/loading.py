"""Loading: reads the parts of a choice from disk onto a device, as the flags want them.

Knows flags and files; what stays in memory, and where, is PipelineManager's.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from app.engine.loader import Needs, Tell
from app.engine.row import ModelChoice
from app.files import Identity
from app.models import (
    LoadedModel,
    OpenFiles,
    Precision,
    Skeletons,
    Source,
    Survey,
    Vae,
    choose_attention,
    choose_precision,
    fingerprint,
    load_checkpoint,
    load_vae,
    store_in_eight_bits,
    survey_checkpoint,
    survey_vae,
    use_attention,
)
from app.schema.errors import ModelChanged, ModelNotFound, UnsupportedModel
from app.schema.request import FileIdentity

logger = logging.getLogger(__name__)


class Loading:
    """device: that the models compute on. no_half, no_half_vae: the flags of these names. eight_bits: the format that
    the U-Net's weights are stored in, None for that of the computation. attention: 'sdpa' or 'xformers'."""

    def __init__(
        self,
        device: torch.device,
        *,
        no_half: bool = False,
        no_half_vae: bool = False,
        eight_bits: torch.dtype | None = None,
        attention: str = "sdpa",
    ) -> None:
        self._device = device
        self._no_half = no_half
        self._no_half_vae = no_half_vae
        self._eight_bits = eight_bits
        self._wanted_attention = attention
        self._attention: dict[torch.dtype, str] = {}
        self._files = OpenFiles()
        self._skeletons = Skeletons()
        self._surveys: dict[tuple[ModelChoice, torch.dtype | None, torch.dtype | None], Needs] = {}

    def __call__(self, choice: ModelChoice) -> LoadedModel:
        """All of a choice at once, kept by nobody. Raises as the parts do."""
        self.survey(choice, unet=None, vae=None)
        vae = self.vae(choice, self._device, None, None, None)
        model = self.checkpoint(choice, self._device, None, None, None, vae)
        self.join(model, vae, choice)
        return model

    def survey(self, choice: ModelChoice, *, unet: torch.dtype | None, vae: torch.dtype | None) -> Needs:
        """What the parts of a choice will take. unet, vae: formats instead of those asked for.

        Raises ModelNotFound, ModelChanged when a file is not what was asked for, and what its header deserves.
        """
        require_unchanged(choice.checkpoint, "checkpoint")
        if choice.vae is not None:
            require_unchanged(choice.vae, "vae")
        for lender in choice.text_encoders:
            require_unchanged(lender, "text_encoder")
        asked = (choice._replace(networks=()), unet, vae)
        if asked not in self._surveys:
            self._surveys[asked] = self._survey(choice, unet, vae)
        return self._surveys[asked]

    def _survey(self, choice: ModelChoice, unet: torch.dtype | None, vae: torch.dtype | None) -> Needs:
        precision = self._precision(choice, unet)
        checkpoint = survey_checkpoint(
            self._files.get(choice.checkpoint.path),
            precision,
            self._device,
            needs_vae=choice.vae is None,
            text_encoders_from=self._lenders(choice),
        )
        if self._eight_bits is not None:
            # Fresh weights take the place of the old ones here, so that nothing could be written over.
            checkpoint = Survey(checkpoint.memory, checkpoint.stored, None)
        file = choice.vae or choice.checkpoint
        return Needs(checkpoint, survey_vae(self._files.get(file.path), vae or precision.vae, self._device))

    def vae(
        self, choice: ModelChoice, device: torch.device, dtype: torch.dtype | None, into: Vae | None, tell: Tell | None
    ) -> Vae:
        """The VAE of a choice. Raises what the loader raises."""
        file = choice.vae or choice.checkpoint
        dtype = dtype or self._precision(choice, None).vae
        opened = self._files.get(file.path)
        vae = load_vae(
            opened,
            scaling_factor=1.0,
            device=device,
            dtype=dtype,
            into=into,
            progress=tell,
            skeletons=self._skeletons,
        )
        if choice.vae is None:
            vae.file, vae.name = None, f"of {Path(file.path).name}"
        return vae

    def checkpoint(
        self,
        choice: ModelChoice,
        device: torch.device,
        dtype: torch.dtype | None,
        into: LoadedModel | None,
        tell: Tell | None,
        vae: Vae,
    ) -> LoadedModel:
        """U-Net and text encoders of a choice. Raises what the loader raises."""
        precision = self._precision(choice, dtype)
        eight_bits = self._eight_bits
        # Squeezed where there is room for the whole, so that a small card sees the small weights only.
        target = torch.device("cpu") if eight_bits is not None else device
        opened = self._files.get(choice.checkpoint.path)
        model = load_checkpoint(
            opened,
            device=target,
            precision=precision,
            vae=vae,
            text_encoders_from=self._lenders(choice),
            into=into,
            progress=tell,
            skeletons=self._skeletons,
        )
        if eight_bits is not None:
            store_in_eight_bits(model.unet, eight_bits)
            for _, part in model.parts():
                if part is not vae.module:
                    part.to(device)
        if self._attention_for(precision.unet) == "xformers":
            use_attention(model.unet, "xformers")
        return model

    def join(self, model: LoadedModel, vae: Vae, choice: ModelChoice) -> None:
        """The model gets this VAE, whose scaling factor is the family's. Raises UnsupportedModel if it does not fit."""
        self._files.close()
        wanted = (model.family.latent_channels, model.family.pixels_per_latent)
        if (vae.module.config.latent_channels, vae.pixels_per_latent) != wanted:
            raise UnsupportedModel(
                f"The VAE {vae.name} does not fit {Path(choice.checkpoint.path).name}: its latents have "
                f"{vae.module.config.latent_channels} channels of {vae.pixels_per_latent} pixels, "
                f"the checkpoint's {wanted[0]} of {wanted[1]}.",
                field="vae",
                hint="Choose another VAE, or None for the checkpoint's own.",
            )
        vae.scaling_factor = model.family.scaling_factor
        model.vae = vae
        model.fingerprint = fingerprint(
            model.file, model.dtype, self._eight_bits, vae.file, vae.dtype, choice.text_encoders
        )

    def _lenders(self, choice: ModelChoice) -> list[Source]:
        return [self._files.get(file.path) for file in choice.text_encoders]

    def _precision(self, choice: ModelChoice, unet: torch.dtype | None) -> Precision:
        precision = choose_precision(
            self._device.type, choice.precision, no_half=self._no_half, no_half_vae=self._no_half_vae
        )
        return precision if unet is None else precision._replace(unet=unet)

    def _attention_for(self, dtype: torch.dtype) -> str:
        if dtype not in self._attention:
            self._attention[dtype] = choose_attention(self._wanted_attention, self._device, dtype)
        return self._attention[dtype]


def require_unchanged(file: FileIdentity, field: str) -> None:
    """Raises ModelNotFound when a file is gone, ModelChanged when it was replaced since the job was submitted.

    field: of the request, that named the file.
    """
    try:
        now = Identity.of(file.path)
    except OSError as error:
        raise ModelNotFound(
            f"The file {Path(file.path).name} is gone ({error.strerror}).",
            field=field,
            hint="Refresh the list and choose another.",
        ) from error
    if Path(file.path).is_file() and (now.size, now.mtime_ns) != (file.size, file.mtime_ns):
        raise ModelChanged(
            f"The file {Path(file.path).name} was replaced after the job was submitted.",
            field=field,
            hint="Submit the job again to draw with the new file.",
        )
