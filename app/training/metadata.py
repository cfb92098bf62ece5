"""Metadata of a trained file: kohya's `ss_` keys and `modelspec`, as other programs read them.

Nothing in it depends on when or how often the run was interrupted. Folders are told by their last name alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from app.files.hashes import legacy_hash, sha256_of
from app.models import LoadedModel, precision_word
from app.schema.training import TrainingRequest
from app.training.data import Bucket, Material
from app.training.plan import TrainingPlan
from app.training.precision import autocast_dtype
from app.training.schedule import read_rates, warm_up_steps

_ARCHITECTURE_ENDS: Mapping[str, str] = {
    "lora": "/lora",
    "textual_inversion": "/textual-inversion",
    "hypernetwork": "/hypernetwork",
    "dreambooth": "",
}


def metadata_of(
    request: TrainingRequest, model: LoadedModel, material: Material, plan: TrainingPlan, steps: int
) -> dict[str, str]:
    """All of it but `base_facts`. steps: done when the file is written."""
    return {**_modelspec(request, model), **_kohya(request, model, material, plan, steps)}


def _modelspec(request: TrainingRequest, model: LoadedModel) -> dict[str, str]:
    architecture = model.family.architecture
    if model.family.name == "SD2":
        architecture += "-768-v" if model.prediction_type == "v" else "-512"
    told = {
        "sai_model_spec": "1.0.1",
        "architecture": architecture + _ARCHITECTURE_ENDS.get(request.method, f"/{request.method}"),
        "implementation": "https://github.com/Stability-AI/generative-models",
        "title": request.name,
        "resolution": f"{request.width}x{request.height}",
        "date": datetime.fromtimestamp(request.created, UTC).isoformat() if request.created else "",
        "trigger_phrase": request.name if request.method == "textual_inversion" else request.trigger,
        "description": request.comment,
        "prediction_type": model.prediction_type,
        "encoder_layer": str(request.clip_skip),
    }
    return {f"modelspec.{key}": value for key, value in told.items() if value}


def _kohya(
    request: TrainingRequest, model: LoadedModel, material: Material, plan: TrainingPlan, steps: int
) -> dict[str, str]:
    second = model.family.name == "SD2"
    folders = _by_folder(material)
    computed = autocast_dtype(request.precision, model.device)
    told: dict[str, object] = {
        "session_id": request.session,
        "training_started_at": request.created or "",
        "output_name": request.name,
        "learning_rate": request.learning_rate,
        "unet_lr": request.learning_rate,
        "text_encoder_lr": _text_rate(request),
        "num_train_images": plan.shown_per_epoch,
        "num_reg_images": plan.class_pictures,
        "num_validation_images": plan.held_out,
        "num_batches_per_epoch": plan.batches_per_epoch,
        "num_epochs": max(round(plan.epochs), 1),
        "epoch": max(round(steps * request.accumulation / plan.batches_per_epoch), 1),
        "steps": steps,
        "max_train_steps": plan.steps,
        "lr_scheduler": request.schedule,
        "lr_warmup_steps": warm_up_steps(request.warm_up, plan.steps),
        "mixed_precision": "no" if computed is None else precision_word(computed),
        "v2": second,
        "base_model_version": "sd_v2_v" if second and model.prediction_type == "v" else model.family.lora_version,
        "clip_skip": request.clip_skip,
        "cache_latents": True,
        "seed": request.seed,
        "noise_offset": request.noise_offset or None,
        "zero_terminal_snr": float(model.alphas_cumprod[-1]) < 1e-6,
        "optimizer": request.optimizer,
        "max_grad_norm": request.clip,
        "caption_dropout_rate": request.drop_captions,
        "caption_tag_dropout_rate": request.drop_parts,
        "prior_loss_weight": request.prior_weight if request.prior_used != "none" else 0.0,
        "min_snr_gamma": request.min_snr_gamma or None,
        "loss_type": "l2",
        "gradient_checkpointing": request.gradient_checkpointing,
        "gradient_accumulation_steps": request.accumulation,
        "batch_size_per_device": request.batch_size,
        "total_batch_size": request.batch_size * request.accumulation,
        "resolution": f"({request.width}, {request.height})",
        "enable_bucket": request.buckets,
        "bucket_info": json.dumps({"buckets": _by_bucket(material)}),
        "dataset_dirs": json.dumps(
            {name: {"n_repeats": repeats, "img_count": count} for name, (repeats, count, _) in folders.items()}
        ),
        "tag_frequency": json.dumps({name: tags for name, (_, _, tags) in folders.items()}, ensure_ascii=False),
        "training_comment": request.comment or None,
        **(_network(request) if request.method == "lora" else {}),
    }
    return {f"ss_{key}": str(value) for key, value in told.items()}


def _text_rate(request: TrainingRequest) -> float | None:
    """The text encoder's own rate; None where it is not trained, or where no single number says it."""
    stretches = read_rates(request.learning_rate, request.steps)
    if request.text_encoder_rate is None or len(stretches) > 1:
        return None
    return stretches[0].rate * request.text_encoder_rate


def _network(request: TrainingRequest) -> dict[str, object]:
    arguments: dict[str, object] = {}
    if request.conv_rank or request.lora_kind == "LoCon":
        arguments |= {"conv_dim": str(request.conv_rank or request.rank)}
        arguments |= {"conv_alpha": str(request.conv_alpha if request.conv_rank else request.alpha)}
    own = request.lora_kind in ("LoRA", "LoCon")
    if not own:
        arguments["algo"] = {"DoRA": "locon"}.get(request.lora_kind, request.lora_kind.lower())
    if request.lora_kind == "DoRA":
        arguments |= {"dora_wd": "True", "wd_on_output": "False"}
    if request.lora_kind == "LoKr":
        arguments["factor"] = str(request.lokr_factor)
    return {
        "network_module": "networks.lora" if own else "lycoris.kohya",
        "network_dim": request.rank,
        "network_alpha": request.alpha,
        "network_dropout": request.network_dropout or None,
        "network_args": json.dumps(arguments),
    }


def _by_bucket(material: Material) -> dict[str, dict[str, object]]:
    """Sizes in pixels, and the pictures of an epoch; the largest share first."""
    shown: Counter[Bucket] = Counter()
    for one in material.pictures:
        shown[one.placing.bucket] += one.sample.repeats
    return {
        str(number): {"resolution": [size.width, size.height], "count": count}
        for number, (size, count) in enumerate(shown.most_common())
    }


def _by_folder(material: Material) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Repeats, pictures and tags with their counts, by the name of the folder."""
    found: dict[str, tuple[int, int, Counter[str]]] = {}
    for one in material.pictures:
        sample = one.sample
        _, count, tags = found.get(sample.path.parent.name, (0, 0, Counter()))
        tags.update(tag.strip() for tag in sample.caption.split(",") if tag.strip())
        found[sample.path.parent.name] = (sample.repeats, count + 1, tags)
    return {name: (repeats, count, dict(tags)) for name, (repeats, count, tags) in found.items()}


def base_facts(model: LoadedModel) -> dict[str, str]:
    """Which checkpoint and VAE it was trained on. Reads the base file whole for its hashes."""
    told: dict[str, str] = {}
    for word, identity in (("sd_model", model.file), ("vae", model.vae.file)):
        path = Path(identity.path) if identity is not None else None
        if path is None:
            continue
        told[f"ss_{word}_name"] = path.name
        if path.is_file():
            told[f"ss_new_{word}_hash"] = sha256_of(path)
            told[f"ss_{word}_hash"] = legacy_hash(path)
    return told
