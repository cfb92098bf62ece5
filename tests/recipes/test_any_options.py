"""Any combination of samplers, schedules and options makes a picture of numbers, or is refused in words."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest
import torch

from app.recipes import Decode, Evaluate
from app.schema.choices import SAMPLER_NAMES, SCHEDULE_NAMES
from app.schema.errors import InvalidField
from app.schema.events import RowFailed, RowFinished
from tests.engine.formula import FormulaRunner, formula_engine, image_plans, run_to_end

OPTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "steps": (1, 2, 3, 5, 7, 12, 30),
    "sigma_min": (0.01, 1e-6, 1, 20),
    "sigma_max": (1, 80, 5000, 1e5, 0.001),
    "rho": (0.1, 1, 50, 1000),
    "old_karras_sigmas": (True,),
    "discard_next_to_last_sigma": (True,),
    "sgm_noise_multiplier": (True,),
    "quantize_timesteps": (True,),
    "noise_schedule": ("Zero Terminal SNR",),
    "downcast_alphas": (True,),
    "beta_alpha": (0.01, 5, 100),
    "beta_beta": (0.01, 5, 100),
    "unipc_variant": ("bh2", "vary_coeff"),
    "unipc_skip_type": ("time_quadratic", "logSNR"),
    "unipc_order": (1, 2, 4, 7, 50),
    "unipc_lower_order_final": (False,),
    "s_churn": (5, 100),
    "s_tmin": (1,),
    "s_tmax": (3,),
    "s_noise": (0, 1.1),
    "eta": (0, 0.5, 3),
    "cfg_scale": (0, 1, 30),
    "cfg_rescale": (0.7,),
    "guidance_minimum_sigma": (3,),
    "guidance_minimum_all_steps": (True,),
    "skip_early_guidance": (0.3, 1),
    "noise_source": ("NV",),
    "noise_seed_delta": (31337,),
}


class StrictRunner(FormulaRunner):
    """Answers by the formula and looks at what it is asked."""

    def _answer(self, effect: Any) -> Any:
        if isinstance(effect, Evaluate):
            assert effect.sigma > 0
            assert effect.timestep is None or 0 <= effect.timestep <= 999
        if isinstance(effect, Decode):
            assert bool(torch.isfinite(effect.latent).all())
        return super()._answer(effect)


def some_request(source: random.Random) -> dict[str, Any]:
    chosen = source.sample(sorted(OPTIONS), source.randrange(8))
    return {
        "sampler": source.choice(SAMPLER_NAMES).name,
        "schedule": source.choice(SCHEDULE_NAMES).label,
        **{name: source.choice(OPTIONS[name]) for name in chosen},
    }


def require_sound(source: random.Random, requests: int) -> None:
    for _ in range(requests):
        fields = some_request(source)
        engine = formula_engine(runner=StrictRunner())[0]
        for plan in image_plans("j", prompt="[a|bb] AND c :0.5", **fields):
            engine.submit(plan)
        ends = [event for event in run_to_end(engine) if isinstance(event, RowFinished | RowFailed)]
        assert len(ends) == 1
        assert isinstance(ends[0], RowFinished) or ends[0].code == InvalidField.code, fields


def test_any_options_make_a_picture_or_are_refused() -> None:
    require_sound(random.Random(40), 60)


@pytest.mark.slow
def test_thousands_of_options_make_a_picture_or_are_refused() -> None:
    require_sound(random.Random(41), 4_000)
