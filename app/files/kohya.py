"""kohya: the usual keys of a sd-scripts TOML, read as the fields of a TrainingRequest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from app.schema.errors import TrainingProblem


class Imported(NamedTuple):
    """fields: of a TrainingRequest. left_out: keys that mean nothing here."""

    fields: dict[str, Any]
    left_out: tuple[str, ...]


_SIGNS = frozenset(
    {"pretrained_model_name_or_path", "train_data_dir", "network_module", "output_name", "max_train_steps", "image_dir"}
)
_SAME: Mapping[str, str] = {
    "pretrained_model_name_or_path": "checkpoint",
    "vae": "vae",
    "train_data_dir": "data",
    "image_dir": "data",
    "reg_data_dir": "class_data",
    "output_name": "name",
    "class_tokens": "class_words",
    "token_string": "trigger",
    "init_word": "initial_text",
    "num_vectors_per_token": "vectors",
    "max_train_steps": "steps",
    "train_batch_size": "batch_size",
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "gradient_checkpointing": "gradient_checkpointing",
    "network_dim": "rank",
    "network_alpha": "alpha",
    "network_dropout": "network_dropout",
    "lr_warmup_steps": "warm_up",
    "max_grad_norm": "clip",
    "noise_offset": "noise_offset",
    "min_snr_gamma": "min_snr_gamma",
    "clip_skip": "clip_skip",
    "seed": "seed",
    "prior_loss_weight": "prior_weight",
    "enable_bucket": "buckets",
    "flip_aug": "flip",
    "shuffle_caption": "shuffle_captions",
    "keep_tokens": "keep_parts",
    "caption_dropout_rate": "drop_captions",
    "caption_tag_dropout_rate": "drop_parts",
    "masked_loss": "masked_loss",
    "alpha_mask": "masked_loss",
    "validation_split": "validation_share",
    "sample_every_n_steps": "sample_every",
    "save_every_n_steps": "save_every",
    "training_comment": "comment",
}
_WITHOUT_EFFECT = frozenset(
    {
        "output_dir",
        "logging_dir",
        "save_model_as",
        "xformers",
        "sdpa",
        "mem_eff_attn",
        "cache_latents",
        "cache_latents_to_disk",
        "log_with",
        "log_prefix",
        "lowram",
        "highvram",
        "max_data_loader_n_workers",
        "persistent_data_loader_workers",
        "caption_extension",
        "prior_preservation",
        "v2",
        "v_parameterization",
        "sdxl",
        "bucket_reso_steps",
        "min_bucket_reso",
        "max_bucket_reso",
        "max_token_length",
        "save_state",
        "save_state_on_train_end",
        "resume",
        "tokenizer_cache_dir",
        "full_bf16",
        "no_half_vae",
    }
)
_OPTIMIZERS = {
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "pagedadamw8bit": "AdamW8bit",
    "adafactor": "Adafactor",
    "lion": "Lion",
    "lion8bit": "Lion",
    "prodigy": "Prodigy",
}
_SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_restarts": "cosine",
    "polynomial": "linear",
}


def is_kohya(values: Mapping[str, Any]) -> bool:
    """Whether a TOML's keys are sd-scripts'."""
    return bool(_SIGNS & flattened(values).keys())


def read_kohya(values: Mapping[str, Any], beside: Path | None) -> Imported:
    """beside: the folder of the TOML, from which its relative paths are meant; None where that is not known.

    Raises TrainingProblem for a value that cannot be meant here.
    """
    _require_one_data_set(values)
    flat = flattened(values)
    fields = {_SAME[key]: value for key, value in flat.items() if key in _SAME and value not in (None, "")}
    used = set(_SAME)
    for key, read in _SPECIAL.items():
        if flat.get(key) not in (None, ""):
            fields |= read(flat[key], flat)
        used.add(key)
    if "network_module" in flat or "network_dim" in flat:
        fields["method"] = "lora"
    elif "token_string" in flat or "init_word" in flat:
        fields["method"] = "textual_inversion"
    else:
        fields["method"] = "dreambooth"
    fields["prior"] = "pictures" if fields.get("class_data") else "none"
    if fields.get("class_data"):
        fields.setdefault("class_pictures", 1)  # as many as there are: kohya draws none
    for name in ("data", "class_data"):
        if name in fields:
            fields[name] = path_beside(fields[name], beside)
    for name in ("checkpoint", "vae"):
        if name in fields:
            fields[name] = _model_name(str(fields[name]))
    rate = flat.get("unet_lr") or flat.get("learning_rate")
    if rate is not None:
        fields["learning_rate"] = f"{float(rate):g}"
    fields |= _text_encoder(flat, rate, fields["method"])
    if epochs := flat.get("max_train_epochs"):
        fields["epochs"] = int(epochs) * int(flat.get("num_repeats") or 1)  # a data set's own, beside folders' names
    used |= {
        "learning_rate",
        "unet_lr",
        "text_encoder_lr",
        "network_train_unet_only",
        "max_train_epochs",
        "num_repeats",
    }
    left_out = tuple(sorted(key for key in flat if key not in used and key not in _WITHOUT_EFFECT))
    return Imported(fields, left_out)


def path_beside(text: object, beside: Path | None) -> str:
    """A path as the TOML in `beside` means it, whole; as it is written where that folder is not known."""
    return str(text) if beside is None else str((beside / Path(str(text)).expanduser()).absolute())


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """All keys without their tables; of a list of tables those of the first."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            flat |= flattened(value[0])
        else:
            flat[key] = value
    return flat


def _require_one_data_set(values: Mapping[str, Any]) -> None:
    """Raises TrainingProblem where leaving the others out would train on a part of the pictures."""
    for key, value in values.items():
        tables = value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []
        tables = [table for table in tables if isinstance(table, Mapping)]
        if len(tables) > 1:
            raise TrainingProblem(
                f"'{key}' names {len(tables)} data sets; one is read here.",
                field=key,
                hint="Make one folder with a folder 'N_words' for each set in it; N is how often it is shown.",
            )
        for table in tables:
            _require_one_data_set(table)


def _text_encoder(flat: Mapping[str, Any], rate: Any, method: str) -> dict[str, Any]:
    own = flat.get("text_encoder_lr")
    own = own[0] if isinstance(own, list) and own else own
    if method != "lora" or flat.get("network_train_unet_only") or not rate or own in (0, 0.0):
        return {}
    return {"text_encoder_rate": float(own) / float(rate) if own else 1.0}


def _model_name(text: str) -> str:
    """The library's name of a path; a repository's name as it is."""
    return Path(text).stem if Path(text).suffix in (".safetensors", ".ckpt", ".pt") else text


def _resolution(value: Any, flat: Mapping[str, Any]) -> dict[str, Any]:
    sides = value if isinstance(value, list) else str(value).strip("()").split(",")
    try:
        width, height = (int(sides[0]), int(sides[-1]))
    except ValueError:
        raise TrainingProblem(f"The resolution '{value}' is no size.", field="resolution") from None
    return {"width": width, "height": height}


def _network_args(value: Any, flat: Mapping[str, Any]) -> dict[str, Any]:
    said = dict(str(part).split("=", 1) for part in (value if isinstance(value, list) else [value]) if "=" in str(part))
    fields: dict[str, Any] = {}
    kinds = {"locon": "LoCon", "loha": "LoHa", "lokr": "LoKr"}
    lycoris = "lycoris" in str(flat.get("network_module", ""))
    if said.get("dora_wd", "").lower() == "true":
        fields["lora_kind"] = "DoRA"
    elif lycoris:
        fields["lora_kind"] = kinds.get(said.get("algo", "locon").lower(), "LoCon")
    elif "conv_dim" in said:
        fields["lora_kind"] = "LoCon"
    for key, name, kind in (("conv_dim", "conv_rank", int), ("conv_alpha", "conv_alpha", float)):
        if key in said:
            fields[name] = kind(said[key])
    if "factor" in said:
        fields["lokr_factor"] = int(said["factor"])
    return fields


def _prompts(value: Any, flat: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(str(value)).expanduser()
    return {"sample_prompts": path.read_text(encoding="utf-8") if path.is_file() else str(value)}


_SPECIAL: Mapping[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]] = {
    "resolution": _resolution,
    "network_args": _network_args,
    "network_module": lambda value, flat: {},
    "sample_prompts": _prompts,
    "optimizer_type": lambda value, flat: {"optimizer": _known(_OPTIMIZERS, value, "optimizer_type")},
    "lr_scheduler": lambda value, flat: {"schedule": _known(_SCHEDULES, value, "lr_scheduler")},
    "mixed_precision": lambda value, flat: {"precision": {"no": "fp32"}.get(value, value)},
    "save_precision": lambda value, flat: {"save_precision": {"float": "fp32"}.get(value, value)},
    "bucket_no_upscale": lambda value, flat: {"upscale": not value},
}


def _known(table: Mapping[str, str], value: Any, key: str) -> str:
    found = table.get(str(value).lower())
    if found is None:
        raise TrainingProblem(f"{key} '{value}' is not served.", field=key, hint=f"There are {', '.join(table)}.")
    return found
