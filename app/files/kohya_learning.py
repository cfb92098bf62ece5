"""How long and how fast a sd-scripts TOML trains: steps, rates of U-Net and text encoder, optimiser and schedule.

Defaults are those of sd-scripts' train_network.py, train_db.py, fine_tune.py and sdxl_train.py, and of the optimisers
that they call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.files.kohya_values import Flat, Imported, arguments, does_nothing, known, number, whole
from app.schema.errors import TrainingProblem

LEARNING_KEYS = frozenset(
    {
        "max_train_steps",
        "max_train_epochs",
        "num_repeats",
        "learning_rate",
        "unet_lr",
        "text_encoder_lr",
        "network_train_unet_only",
        "network_train_text_encoder_only",
        "train_text_encoder",
        "learning_rate_te",
        "learning_rate_te1",
        "learning_rate_te2",
        "stop_text_encoder_training",
        "optimizer_type",
        "optimizer_args",
        "lr_scheduler",
        "lr_scheduler_num_cycles",
        "lr_scheduler_power",
        "lr_warmup_steps",
    }
)
_STEPS = 1600
_RATE = 2e-6
_OPTIMIZERS = {
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "pagedadamw8bit": "AdamW8bit",
    "adafactor": "Adafactor",
    "lion": "Lion",
    "lion8bit": "Lion",
    "prodigy": "Prodigy",
}
_DECAYS = {"AdamW": 0.01, "AdamW8bit": 0.01}
_SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_restarts": "cosine_with_restarts",
    "polynomial": "polynomial",
}
_FINE_TUNING = (
    "train_text_encoder",
    "learning_rate_te1",
    "learning_rate_te2",
    "block_lr",
    "cache_text_encoder_outputs",
    "in_json",
    "metadata_file",
)
"""Keys of the scripts that train the text encoder only where train_text_encoder says so; train_db has none of them."""


class _Switch(NamedTuple):
    """Of an optimiser: as it is set here, and where optimizer_args say nothing."""

    here: bool
    default: bool


_SWITCHES: Mapping[str, Mapping[str, _Switch]] = {
    "Adafactor": {
        "relative_step": _Switch(False, True),
        "scale_parameter": _Switch(False, True),
        "warmup_init": _Switch(False, False),
    },
    "Prodigy": {
        "decouple": _Switch(True, True),
        "use_bias_correction": _Switch(True, False),
    },
}


def read_learning(flat: Flat, method: str) -> Imported:
    """method: of the request. Raises TrainingProblem for what is no number, not served, or the text encoder alone."""
    parts = (_length(flat), _rates(flat, method), _optimizer(flat), _schedule(flat))
    fields = {name: value for part in parts for name, value in part.fields.items()}
    return Imported(fields, tuple(words for part in parts for words in part.left_out))


def _length(flat: Flat) -> Imported:
    steps = whole(flat, "max_train_steps", _STEPS)
    epochs = whole(flat, "max_train_epochs", 0) * whole(flat, "num_repeats", 1)  # a data set's, beside folders' names
    return Imported({"steps": steps, "epochs": epochs, "warm_up": number(flat, "lr_warmup_steps", 0)}, ())


def _rates(flat: Flat, method: str) -> Imported:
    """The U-Net's rate, and the text encoder's as a share of it."""
    rate = number(flat, "learning_rate", _RATE)
    unet = number(flat, "unet_lr", rate) if method == "lora" else rate
    text = _text_rates(flat, method, rate)
    if method == "lora" and (flat.get("network_train_text_encoder_only") or (any(text) and not unet)):
        raise TrainingProblem(
            "The text encoder alone would be trained; here the U-Net is always trained, too.",
            field="learning_rate",
            hint="Give a unet_lr above 0 and leave network_train_text_encoder_only out.",
        )
    left_out = []
    if any(other != text[0] for other in text):
        key = "text_encoder_lr" if method == "lora" else "learning_rate_te2"
        left_out.append(f"{key} = {text[-1]:g} for the second text encoder ({text[0]:g} is taken)")
    stop, steps = whole(flat, "stop_text_encoder_training", 0), whole(flat, "max_train_steps", _STEPS)
    if method == "dreambooth" and text and stop > 0 and (stop < steps or "max_train_epochs" in flat):
        left_out.append(f"stop_text_encoder_training = {stop} (it is trained to the end)")
    share = float(f"{text[0] / unet:.6g}") if text and text[0] else None
    return Imported({"learning_rate": f"{unet:g}", "text_encoder_rate": share}, tuple(left_out))


def _text_rates(flat: Flat, method: str, rate: float) -> Sequence[float]:
    """Of each text encoder as far as they are told apart; none where they are not trained."""
    if method == "lora" and not flat.get("network_train_unet_only"):
        said = flat.get("text_encoder_lr", rate)
        return [number({"text_encoder_lr": one}, "text_encoder_lr", rate) for one in _listed(said)]
    if method != "dreambooth" or whole(flat, "stop_text_encoder_training", 1) <= 0:
        return ()
    if any(key in flat for key in _FINE_TUNING) and not flat.get("train_text_encoder"):
        return ()
    if "learning_rate_te1" in flat or "learning_rate_te2" in flat:
        return [number(flat, key, rate) for key in ("learning_rate_te1", "learning_rate_te2")]
    return [number(flat, "learning_rate_te", rate)]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _optimizer(flat: Flat) -> Imported:
    optimizer, said = known(_OPTIMIZERS, flat, "optimizer_type", "AdamW"), arguments(flat, "optimizer_args")
    decay = number(said, "weight_decay", _DECAYS.get(optimizer, 0.0), "optimizer_args")
    left_out = []
    if optimizer == "Lion" and str(flat["optimizer_type"]).lower() != "lion":
        left_out.append(f"optimizer_type = {flat['optimizer_type']} (Lion is taken)")
    switches = dict(_SWITCHES.get(optimizer, {}))
    if optimizer == "Prodigy":
        switches["safeguard_warmup"] = _Switch(number(flat, "lr_warmup_steps", 0) > 0, False)
    for key, switch in switches.items():
        if (not does_nothing(said.get(key, switch.default))) != switch.here:
            left_out.append(f"optimizer_args: {key} = {not switch.here} ({switch.here} is taken)")
    others = {key: value for key, value in said.items() if key != "weight_decay" and key not in switches}
    left_out += [f"optimizer_args: {key}" for key, value in others.items() if not does_nothing(value)]
    return Imported({"optimizer": optimizer, "weight_decay": decay}, tuple(left_out))


def _schedule(flat: Flat) -> Imported:
    fields = {
        "schedule": known(_SCHEDULES, flat, "lr_scheduler", "constant"),
        "schedule_cycles": whole(flat, "lr_scheduler_num_cycles", 1),
        "schedule_power": number(flat, "lr_scheduler_power", 1),
    }
    return Imported(fields, ())
