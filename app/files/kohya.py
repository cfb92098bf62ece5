"""kohya: a sd-scripts TOML, read as the fields of a TrainingRequest; what it leaves out has kohya's meaning.

Facts: kohya-ss/sd-scripts of 2026-02, library/train_util.py and library/config_util.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.files.kohya_learning import LEARNING_KEYS, read_learning
from app.files.kohya_network import NETWORK_KEYS, read_network
from app.files.kohya_values import Flat, Imported, does_nothing, whole
from app.schema.errors import TrainingProblem

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
    "init_word": "initial_text",
    "num_vectors_per_token": "vectors",
    "train_batch_size": "batch_size",
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "gradient_checkpointing": "gradient_checkpointing",
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
    "validation_split": "validation_share",
    "sample_every_n_steps": "sample_every",
    "save_every_n_steps": "save_every",
    "training_comment": "comment",
}
_ABSENT: Mapping[str, Any] = {
    "vectors": 1,
    "batch_size": 1,
    "accumulation": 1,
    "gradient_checkpointing": False,
    "clip": 1.0,
    "average": 0.0,
    "noise_offset": 0.0,
    "min_snr_gamma": 0.0,
    "clip_skip": 1,
    "prior_weight": 1.0,
    "buckets": False,
    "flip": False,
    "shuffle_captions": False,
    "keep_parts": 0,
    "drop_captions": 0.0,
    "drop_parts": 0.0,
    "validation_share": 0.0,
}
"""What kohya does where a TOML says nothing."""
_OWN = frozenset(
    {
        "resolution",
        "bucket_no_upscale",
        "bucket_reso_steps",
        "min_bucket_reso",
        "max_bucket_reso",
        "masked_loss",
        "alpha_mask",
        "mixed_precision",
        "save_precision",
        "save_model_as",
        "sample_prompts",
        "caption_extension",
        "caption_extention",
        "max_token_length",
        "class_tokens",
        "token_string",
    }
)
_WITHOUT_EFFECT = frozenset(
    {
        # Places, logs, speed and memory.
        "output_dir",
        "logging_dir",
        "log_prefix",
        "tokenizer_cache_dir",
        "xformers",
        "sdpa",
        "mem_eff_attn",
        "cache_latents",
        "cache_latents_to_disk",
        "cache_text_encoder_outputs",
        "cache_text_encoder_outputs_to_disk",
        "cache_info",
        "skip_cache_check",
        "vae_batch_size",
        "lowram",
        "highvram",
        "max_data_loader_n_workers",
        "persistent_data_loader_workers",
        "torch_compile",
        "dynamo_backend",
        "no_half_vae",
        # A run here can always be resumed.
        "save_state",
        "save_state_on_train_end",
        # Read from the checkpoint.
        "v2",
        "v_parameterization",
        "sdxl",
        # Of kohya_ss' form; sd-scripts does not read them.
        "epoch",
        "noise_offset_type",
        # Parts of others, which are named themselves.
        "huber_c",
        "huber_scale",
        "huber_schedule",
        "multires_noise_discount",
    }
)
_USUAL: Mapping[str, Any] = {
    "caption_separator": ",",
    "dataset_repeats": 1,
    "initial_epoch": 1,
    "log_with": "tensorboard",
    "loss_type": "l2",
    "max_timestep": 1000,
    "sample_sampler": "euler",
    "token_warmup_min": 1,
}
"""Values of keys that are not read, at which nothing is lost."""
_PROMPT_FILES = (".txt", ".toml", ".json")


def is_kohya(values: Mapping[str, Any]) -> bool:
    """Whether a TOML's keys are sd-scripts'."""
    return bool(_SIGNS & flattened(values).keys())


def read_kohya(values: Mapping[str, Any], beside: Path | None) -> Imported:
    """beside: the folder of the TOML, from which its relative paths are meant; None where that is not known.

    Raises TrainingProblem for a value that cannot be meant here.
    """
    _require_one_data_set(values)
    flat = {key: value for key, value in flattened(values).items() if value not in ("", [])}
    method = _method(flat)
    fields = {**_ABSENT, **{_SAME[key]: value for key, value in flat.items() if key in _SAME}, "method": method}
    parts = [_pictures(flat), _captions(flat), _files(flat, method), read_learning(flat, method)]
    if method == "lora":
        parts.append(read_network(flat))
    for part in parts:
        fields |= part.fields
    fields["prior"] = "pictures" if fields.get("class_data") else "none"
    if fields.get("class_data"):
        fields["class_pictures"] = 1  # as many as there are: kohya draws none
    for name in ("data", "class_data"):
        if name in fields:
            fields[name] = path_beside(fields[name], beside)
    for name in ("checkpoint", "vae"):
        if name in fields:
            fields[name] = _model_name(str(fields[name]))
    if "sample_prompts" in flat:
        fields["sample_prompts"] = _prompts(str(flat["sample_prompts"]), beside)
    read = {*_SAME, *_OWN, *_WITHOUT_EFFECT, *LEARNING_KEYS, *NETWORK_KEYS}
    unread = (key for key, value in flat.items() if key not in read and value != _USUAL.get(key))
    left_out = [key for key in unread if not does_nothing(flat[key])]
    return Imported(fields, tuple(sorted([*left_out, *(words for part in parts for words in part.left_out)])))


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


def _method(flat: Flat) -> str:
    if NETWORK_KEYS & flat.keys():
        return "lora"
    return "textual_inversion" if {"token_string", "init_word"} & flat.keys() else "dreambooth"


def _model_name(text: str) -> str:
    """The library's name of a path; a repository's name as it is."""
    return Path(text).stem if Path(text).suffix in (".safetensors", ".ckpt", ".pt") else text


def _pictures(flat: Flat) -> Imported:
    """Sizes and buckets, and what of a picture counts."""
    fields: dict[str, Any] = {
        "upscale": not flat.get("bucket_no_upscale"),
        "masked_loss": bool(flat.get("masked_loss") or flat.get("alpha_mask")),
    }
    if "resolution" not in flat:
        return Imported(fields, ())
    width, height = _resolution(flat["resolution"])
    step = 64 if min(width, height) >= 256 else 32
    sides = {"bucket_reso_steps": (64, step)}
    if fields["upscale"]:
        sides["min_bucket_reso"] = (256, max(min(width, height) // 2, step))
        sides["max_bucket_reso"] = (1024, 2 * max(width, height))
    told = ((key, whole(flat, key, default), here) for key, (default, here) in sides.items())
    differing = tuple(f"{key} = {said} ({here} is taken)" for key, said, here in told if said != here)
    return Imported({**fields, "width": width, "height": height}, differing if flat.get("enable_bucket") else ())


def _resolution(value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, list) else str(value).strip("()").split(",")
    try:
        return int(sides[0]), int(sides[-1])
    except (TypeError, ValueError, OverflowError):
        raise TrainingProblem(
            f"The resolution '{value}' is no size.", field="resolution", hint="Write it like 512 or '512,768'."
        ) from None


def _captions(flat: Flat) -> Imported:
    """The word that is learnt, and which texts are captions."""
    left_out = []
    for key in ("caption_extension", "caption_extention"):
        if str(flat.get(key, ".txt")).removeprefix(".") not in ("txt", "caption"):
            left_out.append(f"{key} = {flat[key]} (.txt and .caption are read)")
    if "max_token_length" in flat:
        left_out.append(f"max_token_length = {flat['max_token_length']} (captions are read whole)")
    word, tokens = str(flat.get("token_string", "")), str(flat.get("class_tokens", ""))
    if word and word != flat.get("output_name"):
        left_out.append(f"token_string = {word} (an embedding is called by its file's name)")
    fields = {"trigger": word} if word else {}
    if tokens.strip():
        fields["fallback_caption"] = tokens.strip()
    return Imported(fields, tuple(left_out))


def _files(flat: Flat, method: str) -> Imported:
    """Numbers and formats: kohya's are float32 where nothing else is said."""
    fields = {
        "precision": {"no": "fp32"}.get(said := str(flat.get("mixed_precision", "no")), said),
        "save_precision": {"float": "fp32"}.get(said := str(flat.get("save_precision", "float")), said),
    }
    embedding = method == "textual_inversion"
    written = str(flat.get("save_model_as", "pt" if embedding else "safetensors"))
    if embedding:
        fields["save_format"] = "safetensors" if written == "safetensors" else "auto"
    if written in ("safetensors", "pt" if embedding else "safetensors"):
        return Imported(fields, ())
    return Imported(fields, (f"save_model_as = {written} ({'.pt' if embedding else 'safetensors'} is written)",))


def _prompts(text: str, beside: Path | None) -> str:
    """Prompts as they are written, or those in a file. Raises TrainingProblem for one that cannot be read."""
    suffix = Path(text).suffix.lower()
    if suffix not in _PROMPT_FILES:
        return text
    path = Path(path_beside(text, beside)).expanduser()
    if suffix != ".txt":
        problem = f"Sample prompts are read from text files, one a line; {path.name} is none."
    elif not path.is_absolute():
        problem = f"Where the file of sample prompts {path} lies is not known here."
    else:
        try:
            return path.read_text(encoding="utf-8-sig")
        except OSError as error:
            problem = f"The file of sample prompts {path} cannot be read: {error.strerror}."
        except UnicodeDecodeError as error:
            problem = f"The file of sample prompts {path.name} is no UTF-8 text: {error}."
    raise TrainingProblem(
        problem, field="sample_prompts", hint="Give a .txt file with its whole path, or the prompts themselves."
    )
