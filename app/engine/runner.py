"""Runner: carries out one group of equal effects on a model, and halves it when memory runs out.

Knows the arithmetic between samplers and U-Net: sigma to timestep, epsilon or v to denoised. The only place that
opens inference mode; answers leave it as clones that hold no batch alive.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from app.conditioning import Conditioning, ConditioningSchedule, encode_unit
from app.language import TextUnit, Tokenizer
from app.models import USUAL_SCALE, guidance_embedding, is_out_of_memory, merged_tokens, takes_guidance_scale
from app.recipes import Decode, Effect, EncodeImage, EncodeText, Evaluate, Residuals
from app.samplers import ModelSigmas
from app.schema.errors import NotFiniteResult, OutOfMemory

if TYPE_CHECKING:
    from app.models import LoadedModel


class NotFiniteUNet(NotFiniteResult):
    """A U-Net made NaN or infinity of sound input: another precision may help."""


class Runner:
    """Carries out groups on whatever model it is lent.

    tokenizer: CLIP's, shared by all models. offload: makes room beside the parts in use; False when there is none left
    to make.
    """

    def __init__(self, tokenizer: Tokenizer, offload: Callable[[], bool] = lambda: False) -> None:
        self._tokenizer = tokenizer
        self._offload = offload

    def run(self, model: LoadedModel, sigmas: ModelSigmas, effects: Sequence[Effect]) -> list[Any]:
        """Answers in the order of the effects, which are all of one kind and one group key.

        sigmas: the model's noise levels. Raises OutOfMemory when not even one effect alone fits, NotFiniteResult
        when the model gives NaN.
        """
        answers = self._attempt(model, sigmas, effects)
        if answers is not None:
            return answers
        _free_memory()
        if len(effects) == 1:
            return [self._smallest(model, sigmas, effects[0])]
        half = len(effects) // 2
        return self.run(model, sigmas, effects[:half]) + self.run(model, sigmas, effects[half:])

    def _attempt(
        self, model: LoadedModel, sigmas: ModelSigmas, effects: Sequence[Effect], strip: int | None = None
    ) -> list[Any] | None:
        """None when memory ran out; the frames that held tensors are gone by then."""
        try:
            with torch.inference_mode():
                answers = self._carry_out(model, sigmas, effects, strip)
        except Exception as error:
            if is_out_of_memory(error):
                return None
            raise
        return [_outside(answer) for answer in answers]

    def _smallest(self, model: LoadedModel, sigmas: ModelSigmas, effect: Effect) -> Any:
        """The last resort for one effect: one conditioning at a time, or the picture in strips; then with whatever
        else is in memory moved out of the way."""
        if isinstance(effect, Evaluate) and len(effect.conditionings) > 1:
            parts = [effect.part(number) for number in range(len(effect.conditionings))]
            return torch.cat([self.run(model, sigmas, [part])[0] for part in parts])
        strip = STRIP if _cells(model, effect) > SMALL else None
        if strip is not None:
            answers = self._attempt(model, sigmas, [effect], strip)
            if answers is not None:
                return answers[0]
        while self._offload():
            answers = self._attempt(model, sigmas, [effect], strip)
            if answers is not None:
                return answers[0]
        raise OutOfMemory(
            "The device has not enough memory for one picture of this size.",
            hint="Choose a smaller width and height, or close other programs that use the device.",
        )

    def _carry_out(
        self, model: LoadedModel, sigmas: ModelSigmas, effects: Sequence[Effect], strip: int | None
    ) -> list[Any]:
        first = effects[0]
        if isinstance(first, Evaluate):
            return _evaluate(model, sigmas, [effect for effect in effects if isinstance(effect, Evaluate)])
        if isinstance(first, EncodeText):
            units = [effect.unit for effect in effects if isinstance(effect, EncodeText)]
            encoded = {unit: self._encode(model, unit) for unit in dict.fromkeys(units)}
            return [encoded[unit] for unit in units]
        if isinstance(first, EncodeImage):
            pictures = [effect.pixels for effect in effects if isinstance(effect, EncodeImage)]
            return [model.vae.encode(pixels.unsqueeze(0), strip=strip) for pixels in pictures]
        return [
            _to_pixels(model.vae.decode(effect.latent, strip=strip)) for effect in effects if isinstance(effect, Decode)
        ]

    def _encode(self, model: LoadedModel, unit: TextUnit) -> ConditioningSchedule:
        return encode_unit(
            model.text_encoders,
            unit,
            self._tokenizer,
            size_numbers=model.family.size_numbers,
            vocabularies=model.vocabularies,
        )


SMALL = 64
"""Side in latent cells of a picture that strips would save too little of."""
STRIP = 1 << 24
"""Numbers of a layer that the VAE works on at once where the whole picture is too large: 64 megabytes in float32."""


def _outside(answer: Any) -> Any:
    """An answer as one may use and change it outside of inference mode, holding no batch alive."""
    if isinstance(answer, Tensor):
        return answer.clone()
    if isinstance(answer, ConditioningSchedule):
        copies = {id(one): _copied(one) for one in answer.conditionings}
        return replace(answer, conditionings=tuple(copies[id(one)] for one in answer.conditionings))
    return answer


def _copied(conditioning: Conditioning) -> Conditioning:
    tensors = {field.name: getattr(conditioning, field.name) for field in fields(conditioning)}
    return replace(conditioning, **{name: value.clone() for name, value in tensors.items() if value is not None})


def _cells(model: LoadedModel, effect: Effect) -> int:
    """The longer side in latent cells of a picture that the VAE is to read or write; 0 for other effects."""
    if isinstance(effect, EncodeImage):
        return max(effect.pixels.shape[-2:]) // model.vae.pixels_per_latent
    return max(effect.latent.shape[-2:]) if isinstance(effect, Decode) else 0


def _evaluate(model: LoadedModel, sigmas: ModelSigmas, effects: Sequence[Evaluate]) -> list[Any]:
    """[n, C, h, w] float32 denoised latents for each effect, one U-Net call for each length of context."""
    rows = [effect.part(number) for effect in effects for number in range(len(effect.conditionings))]
    denoised: list[Tensor | None] = [None] * len(rows)
    for length in dict.fromkeys(row.conditionings[0].length for row in rows):
        chosen = [number for number, row in enumerate(rows) if row.conditionings[0].length == length]
        answers = _call(model, sigmas, [rows[number] for number in chosen])
        for number, answer in zip(chosen, answers.unsqueeze(1), strict=True):
            denoised[number] = answer
    per_effect = []
    position = 0
    for effect in effects:
        count = len(effect.conditionings)
        per_effect.append(torch.cat([row for row in denoised[position : position + count] if row is not None]))
        position += count
    return per_effect


def _call(model: LoadedModel, sigmas: ModelSigmas, rows: Sequence[Evaluate]) -> Tensor:
    """One U-Net call: [rows, C, h, w] float32 denoised. rows: of one conditioning each.

    Karras et al. 2022, table 1, column VP, for epsilon; Salimans and Ho 2022, section 4, for v.
    """
    device, dtype = model.device, model.dtype
    conditionings = [row.conditionings[0] for row in rows]
    x = torch.cat([row.x for row in rows]).to(device, torch.float32)
    levels = [row.sigma for row in rows]
    times = [float(sigmas.sigma_to_t(row.sigma)) if row.timestep is None else row.timestep for row in rows]
    sigma = torch.tensor(levels, dtype=torch.float32, device=device).view(-1, 1, 1, 1)
    variance = sigma * sigma + 1
    context = torch.cat([one.context for one in conditionings]).to(device, dtype)
    scaled = x / variance.sqrt()
    images = [one.image for one in conditionings if one.image is not None]
    if images:
        scaled = torch.cat([scaled, torch.cat(images).to(device, torch.float32)], dim=1)
    with merged_tokens(model.unet, rows[0].merging, *x.shape[-2:]):
        output = model.unet(
            scaled.to(dtype),
            torch.tensor(times, dtype=torch.float32, device=device),
            encoder_hidden_states=context,
            timestep_cond=_told_scales(model, [row.scale for row in rows]),
            added_cond_kwargs=_added(model, conditionings),
            **_residuals(model, [row.residuals for row in rows]),
            return_dict=False,
        )[0].float()
    if model.prediction_type == "v":
        denoised = x / variance - output * (sigma / variance.sqrt())
    else:
        denoised = x - output * sigma
    if not bool(torch.isfinite(denoised).all()):
        sound = bool(torch.isfinite(scaled).all()) and bool(torch.isfinite(context).all())
        raise (NotFiniteUNet if sound else NotFiniteResult)(
            f"The U-Net gave values that are not numbers in {str(dtype).removeprefix('torch.')}.",
            hint="Choose another checkpoint; this one's weights are broken."
            if dtype == torch.float32
            else "Start with --precision fp32 (or --no-half), or choose another checkpoint.",
        )
    return denoised


def _told_scales(model: LoadedModel, scales: Sequence[float | None]) -> Tensor | None:
    """[rows, width] for a U-Net that takes the guidance scale as an input, None for any other."""
    if not takes_guidance_scale(model.unet):
        return None
    told = torch.tensor([USUAL_SCALE if scale is None else scale for scale in scales], device=model.device)
    return guidance_embedding(told, model.unet.config.time_cond_proj_dim).to(model.dtype)


def _residuals(model: LoadedModel, residuals: Sequence[Residuals | None]) -> dict[str, Any]:
    """What guides add inside the U-Net, by its own names; nothing where none does."""
    given = [one for one in residuals if one is not None]
    if not given:
        return {}
    down = zip(*(one.down for one in given), strict=True)
    return {
        "down_block_additional_residuals": tuple(torch.cat(layer).to(model.device, model.dtype) for layer in down),
        "mid_block_additional_residual": torch.cat([one.mid for one in given]).to(model.device, model.dtype),
    }


def _added(model: LoadedModel, conditionings: Sequence[Conditioning]) -> dict[str, Tensor] | None:
    """SDXL's pooled text and size numbers, None for the families without."""
    if not model.family.pooled_width:
        return None
    pooled = torch.cat([one.pooled for one in conditionings if one.pooled is not None])
    numbers = torch.cat([one.extra for one in conditionings if one.extra is not None])
    return {
        "text_embeds": pooled.to(model.device, model.dtype),
        "time_ids": numbers.to(model.device, torch.float32),
    }


def _to_pixels(decoded: Tensor) -> Tensor:
    """[1, 3, H, W] in -1..1 -> [3, H, W] uint8 on the CPU; fractions are cut off, as A1111 does."""
    return ((decoded[0] + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8).cpu()


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
