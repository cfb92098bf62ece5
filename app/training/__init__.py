"""Training: a loop over a folder of snapshots, the diffusion objective, learning rates, repeatable randomness."""

from app.training.loop import Lesson, LoopSettings, Report, State, run
from app.training.objective import add_noise, denoised, mean_squared_error, min_snr_weight, target
from app.training.randomness import generator, numpy_generator
from app.training.schedule import (
    SCHEDULES,
    Schedule,
    Stretch,
    constant,
    cosine,
    linear,
    rate_at,
    read_rates,
    with_warm_up,
)
from app.training.snapshot import Snapshot, Snapshots

__all__ = [
    "SCHEDULES",
    "Lesson",
    "LoopSettings",
    "Report",
    "Schedule",
    "Snapshot",
    "Snapshots",
    "State",
    "Stretch",
    "add_noise",
    "constant",
    "cosine",
    "denoised",
    "generator",
    "linear",
    "mean_squared_error",
    "min_snr_weight",
    "numpy_generator",
    "rate_at",
    "read_rates",
    "run",
    "target",
    "with_warm_up",
]
