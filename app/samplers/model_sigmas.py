"""The noise levels a model was trained on, and the way from its timesteps to sigma and back.

Knows nothing of schedules and samplers; built once per model, from the betas or alphas of its training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

ZERO_SNR_LAST_ALPHA = 4.8973451890853435e-08
LCM_TIMESTEPS = 50


@dataclass(frozen=True, eq=False)
class ModelSigmas:
    """sigma of each timestep a model knows.

    sigmas: [N] float32 on the CPU, rising. sdxl: picks SDXL's table in the Align Your Steps schedule.
    quantize: round timesteps to whole ones ("enable quantization in K samplers").
    stride: timesteps between two sigmas; sigma k belongs to timestep stride - 1 + k * stride (LCM: 20).
    downcast: the table was computed in float16, as in old versions; its logarithms are then as well.
    """

    sigmas: Tensor
    sdxl: bool = False
    quantize: bool = False
    stride: int = 1
    downcast: bool = False

    @classmethod
    def from_alphas_cumprod(
        cls,
        alphas_cumprod: Tensor,
        *,
        sdxl: bool = False,
        quantize: bool = False,
        downcast: bool = False,
        zero_terminal_snr: bool = False,
    ) -> ModelSigmas:
        """From the running products of alpha, [N].

        They are rounded to float32 before anything else, so that the first sigma of SD1 is 0.02916753 and not
        0.02916716. downcast: compute in float16, as old versions did. zero_terminal_snr: see
        `zero_terminal_snr_alphas`; it wins over downcast, whose range its last value leaves.
        """
        alphas = alphas_cumprod.detach().cpu().float()
        if zero_terminal_snr:
            alphas, downcast = zero_terminal_snr_alphas(alphas), False
        if downcast:
            alphas = alphas.half()
        return cls(((1 - alphas) / alphas).sqrt().float(), sdxl=sdxl, quantize=quantize, downcast=downcast)

    @classmethod
    def scaled_linear(
        cls,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        timesteps: int = 1000,
        *,
        sdxl: bool = False,
        quantize: bool = False,
        downcast: bool = False,
        zero_terminal_snr: bool = False,
    ) -> ModelSigmas:
        """Stable Diffusion's own: betas linear in their square root (Rombach et al. 2022)."""
        betas = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float64) ** 2
        return cls.from_alphas_cumprod(
            torch.cumprod(1 - betas, dim=0),
            sdxl=sdxl,
            quantize=quantize,
            downcast=downcast,
            zero_terminal_snr=zero_terminal_snr,
        )

    @property
    def sigma_min(self) -> float:
        """The smallest sigma."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """The largest sigma."""
        return float(self.sigmas[-1])

    @cached_property
    def log_sigmas(self) -> Tensor:
        """[N] float32, log of the sigmas."""
        return self.sigmas.half().log().float() if self.downcast else self.sigmas.log()

    def sigma_to_t(self, sigma: Tensor | float, *, quantize: bool | None = None) -> Tensor:
        """Timestep of a noise level: linear in log sigma between whole timesteps, clamped to the model's range.

        sigma: any shape, above 0. Returns float of the same shape (whole numbers when quantised), on the CPU.
        quantize: instead of the model's own setting.
        """
        log_sigma = torch.as_tensor(sigma, device="cpu").log().to(_computing_dtype(sigma))
        table = self.log_sigmas.to(log_sigma.dtype)
        if self.quantize if quantize is None else quantize:
            index = (log_sigma[..., None] - table).abs().argmin(dim=-1).to(log_sigma.dtype)
        else:
            low = (torch.searchsorted(table, log_sigma.contiguous(), right=True) - 1).clamp(0, len(table) - 2)
            weight = ((table[low] - log_sigma) / (table[low] - table[low + 1])).clamp(0, 1)
            index = (1 - weight) * low + weight * (low + 1)
        return index * self.stride + (self.stride - 1)

    def t_to_sigma(self, t: Tensor | float) -> Tensor:
        """Noise level of a timestep, whole or not, clamped to the model's range; any shape, on the CPU."""
        timestep = torch.as_tensor(t, device="cpu").to(_computing_dtype(t))
        index = ((timestep - (self.stride - 1)) / self.stride).clamp(0, len(self.sigmas) - 1)
        low, high = index.floor().long(), index.ceil().long()
        weight = index - low
        table = self.log_sigmas.to(index.dtype)
        return ((1 - weight) * table[low] + weight * table[high]).exp()

    def lcm(self) -> ModelSigmas:
        """The fifty timesteps 19, 39 ... 999 that a latent consistency model was distilled on (Luo et al. 2023)."""
        stride = len(self.sigmas) // LCM_TIMESTEPS
        return replace(self, sigmas=self.sigmas[stride - 1 :: stride], stride=stride, quantize=True)


def zero_terminal_snr_alphas(alphas_cumprod: Tensor) -> Tensor:
    """Shift and scale sqrt(alphas) so that the last timestep is pure noise (Lin et al. 2023, alg. 1).

    The last value is a tiny number instead of 0, which keeps its sigma finite. alphas_cumprod: [N].
    """
    roots = alphas_cumprod.sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    alphas = ((roots - last) * (first / (first - last))) ** 2
    alphas[-1] = ZERO_SNR_LAST_ALPHA
    return alphas


def _computing_dtype(value: Tensor | float) -> torch.dtype:
    return torch.float64 if isinstance(value, Tensor) and value.dtype == torch.float64 else torch.float32
