"""Training: a model's weights, LoRAs, embeddings and hypernetworks learnt from pictures, resumable to the bit."""

from app.training.data import Material, read_material
from app.training.events import Copied, Drifted, Encoded, Event, Noted, Prepared, RolledBack, Stepped, Validated
from app.training.loop import Lesson, LoopSettings
from app.training.objective import add_noise, denoised, masked_error, mean_squared_error, min_snr_weight, target
from app.training.optimizers import OPTIMIZERS, make_optimizer
from app.training.plan import TrainingPlan, plan
from app.training.precision import autocast_dtype, precision_to_load
from app.training.randomness import generator, numpy_generator
from app.training.schedule import (
    Schedule,
    Stretch,
    constant,
    cosine,
    linear,
    named_schedule,
    rate_at,
    read_rates,
    with_warm_up,
)
from app.training.snapshot import Snapshot, Snapshots
from app.training.state import State
from app.training.targets import Target, make_target
from app.training.train import train

__all__ = [
    "OPTIMIZERS",
    "Copied",
    "Drifted",
    "Encoded",
    "Event",
    "Lesson",
    "LoopSettings",
    "Material",
    "Noted",
    "Prepared",
    "RolledBack",
    "Schedule",
    "Snapshot",
    "Snapshots",
    "State",
    "Stepped",
    "Stretch",
    "Target",
    "TrainingPlan",
    "Validated",
    "add_noise",
    "autocast_dtype",
    "constant",
    "cosine",
    "denoised",
    "generator",
    "linear",
    "make_optimizer",
    "make_target",
    "masked_error",
    "mean_squared_error",
    "min_snr_weight",
    "named_schedule",
    "numpy_generator",
    "plan",
    "precision_to_load",
    "rate_at",
    "read_material",
    "read_rates",
    "target",
    "train",
    "with_warm_up",
]
