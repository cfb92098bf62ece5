"""A1111's routes of training: create and train embeddings and hypernetworks, by its arguments, over our trainings.

A1111 keeps no jobs: these answer when all is done; meanwhile /api/training and the page show the same training.
Deviation: what is trained begins from what `create` was told, not from the values in a file made elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from starlette.concurrency import run_in_threadpool

from app.access import Caller, caller_of
from app.api.downloads import administrator
from app.api.errors import error_of
from app.jobs import Training, Trainings
from app.schema.choices import split_sampler_name
from app.schema.errors import ModelNotFound, NotServedYet, TrainingProblem
from app.schema.training import parse_training

TheCaller = Annotated[Caller, Depends(caller_of)]
Arguments = Annotated[dict[str, Any], Body()]

_REMOVED = re.compile(r"[^\w._\- ]")
_SAME = {
    "learn_rate": "learning_rate",
    "batch_size": "batch_size",
    "gradient_step": "accumulation",
    "data_root": "data",
    "training_width": "width",
    "training_height": "height",
    "varsize": "buckets",
    "steps": "steps",
    "shuffle_tags": "shuffle_captions",
    "tag_drop_out": "drop_parts",
    "use_weight": "masked_loss",
    "create_image_every": "sample_every",
    "save_embedding_every": "save_every",
    "save_hypernetwork_every": "save_every",
}
_DEFAULTS: dict[str, Any] = {
    "buckets": False,
    "steps": 100_000,
    "sample_every": 500,
    "save_every": 500,
    "prior": "none",
}
_CREATED = ("vectors", "initial_text", "widths", "layer_structure", "activation", "weight_init", "layer_norm")
_RATES = {"textual_inversion": "0.005", "hypernetwork": "0.00001"}
_TEMPLATE = "style_filewords.txt"


def training_arguments_router(trainings: Trainings, templates: tuple[Path, ...]) -> APIRouter:
    """The routes. templates: folders that prompt templates are looked for in, in this order."""
    router = APIRouter(prefix="/sdapi/v1", tags=["sdapi"], dependencies=[Depends(administrator)])

    @router.post("/create/embedding")
    async def create_embedding(body: Arguments, caller: TheCaller) -> dict[str, str]:
        """Makes an embedding of an initial text."""
        text = body.get("init_text", "*")
        fields = {"vectors": body.get("num_vectors_per_token", 1), "initial_text": text}
        return await created("textual_inversion", fields, body, caller)

    @router.post("/create/hypernetwork")
    async def create_hypernetwork(body: Arguments, caller: TheCaller) -> dict[str, str]:
        """Makes a hypernetwork that is not trained yet."""
        return await created("hypernetwork", hypernetwork_fields(body), body, caller)

    @router.post("/train/embedding")
    async def train_embedding(body: Arguments, caller: TheCaller) -> dict[str, str]:
        """Trains an embedding that was created; the answer comes when it is done."""
        return await trained("textual_inversion", body, str(body.get("embedding_name", "")), caller)

    @router.post("/train/hypernetwork")
    async def train_hypernetwork(body: Arguments, caller: TheCaller) -> dict[str, str]:
        """Trains a hypernetwork that was created; the answer comes when it is done."""
        return await trained("hypernetwork", body, str(body.get("hypernetwork_name", "")), caller)

    async def created(method: str, fields: dict[str, Any], body: dict[str, Any], caller: Caller) -> dict[str, str]:
        name = _REMOVED.sub("", str(body.get("name", ""))).strip(" .")
        request = parse_training(
            {"method": method, "name": name, "overwrite": body.get("overwrite_old", False), "sample_every": 0, **fields}
        )
        training = await run_in_threadpool(trainings.create, request, caller.owner)
        ended = await over(training)
        return {"info": f"{ended.made.name if ended.made else name} was created."}

    async def trained(method: str, body: dict[str, Any], name: str, caller: Caller) -> dict[str, str]:
        made = await run_in_threadpool(newest_created, trainings, method, name, caller)
        own = {field: getattr(made.run.request, field) for field in (*_CREATED, "dropout_structure", "name")}
        fields = {**training_fields(method, body, templates), **own, "method": method, "overwrite": True}
        training = await run_in_threadpool(trainings.submit_or_resume, parse_training(fields), caller.owner)
        ended = await over(training)
        word = "Paused" if ended.state == "paused" else "Trained" if ended.state == "done" else "Ended without a file"
        without = left_out(body)
        told = f" Left out, as nothing here does it: {'; '.join(without)}." if without else ""
        return {"info": f"{word}: {own['name']} after {steps_of(trainings, ended.id)} steps.{told}"}

    async def over(training: Training) -> Training:
        ended = await trainings.wait_async(training.id)
        if ended.error is not None:
            raise error_of(ended.error)
        return ended

    return router


def newest_created(trainings: Trainings, method: str, name: str, caller: Caller) -> Training:
    """The training that made a file of this name. Raises ModelNotFound."""
    wanted = _REMOVED.sub("", name).strip(" .")
    for training in trainings.history(caller.scope, 500):
        if training.run.request.method == method and training.run.request.name == wanted and training.made:
            return training
    kind = "embedding" if method == "textual_inversion" else "hypernetwork"
    raise ModelNotFound(
        f"No {kind} called '{wanted[:60]}' was created here.",
        field=f"{kind}_name",
        hint=f"Create it first, with /sdapi/v1/create/{kind}.",
    )


def hypernetwork_fields(body: dict[str, Any]) -> dict[str, Any]:
    """A1111's arguments of create/hypernetwork as a request's fields. Raises TrainingProblem for what is no list."""
    fields: dict[str, Any] = {
        "layer_structure": _numbers(body, "layer_structure", "1, 2, 1"),
        "activation": body.get("activation_func") or "linear",
        "weight_init": body.get("weight_init") or "Normal",
        "layer_norm": body.get("add_layer_norm", False),
    }
    if body.get("enable_sizes"):
        fields["widths"] = _numbers(body, "enable_sizes")
    if body.get("use_dropout") and body.get("dropout_structure"):
        fields["dropout_structure"] = _numbers(body, "dropout_structure")
    return fields


def training_fields(method: str, body: dict[str, Any], templates: tuple[Path, ...]) -> dict[str, Any]:
    """A1111's arguments of train/... as a request's fields (a1111-facts 10). Raises NotServedYet, TrainingProblem."""
    fields = {**_DEFAULTS, "learning_rate": _RATES[method]}
    fields |= {_SAME[key]: value for key, value in body.items() if key in _SAME and value is not None}
    fields["learning_rate"] = str(fields["learning_rate"])
    mode = body.get("clip_grad_mode") or "disabled"
    if mode == "value":
        raise NotServedYet("Gradients are clipped by their norm here.", field="clip_grad_mode", hint="Send 'norm'.")
    first = {"clip_grad_value": str(body.get("clip_grad_value", "0.1")).partition(":")[0]}
    fields["clip"] = _numbers(first, "clip_grad_value")[0] if mode == "norm" else 0.0
    if body.get("latent_sampling_method") == "random":
        raise NotServedYet(
            "Pictures are encoded once, to the middle of what the VAE allows, not anew at each step.",
            field="latent_sampling_method",
            hint="Send 'deterministic', or 'once', which differs from it by less than the VAE's own rounding.",
        )
    fields["template"] = _template(str(body.get("template_filename") or _TEMPLATE), templates)
    if body.get("preview_from_txt2img") and body.get("preview_prompt"):
        fields["sample_prompts"] = _preview(body)
    return fields


def left_out(body: dict[str, Any]) -> tuple[str, ...]:
    """Arguments of train/... that nothing here does, as A1111 would take them."""
    said = [key for key in ("log_directory", "save_image_with_stored_embedding") if body.get(key)]
    if body.get("clip_grad_mode") == "norm" and "," in str(body.get("clip_grad_value", "")):
        said.append("clip_grad_value after its first number")
    return tuple(said)


def steps_of(trainings: Trainings, id: str) -> int:
    """How far a training has come."""
    return max((int(entry["step"]) for entry in trainings.log(id) if entry["kind"] == "step"), default=0)


def _template(name: str, folders: tuple[Path, ...]) -> str:
    path = next((folder / name for folder in folders if Path(name).name == name and (folder / name).is_file()), None)
    if path is None:
        there = sorted({file.name for folder in folders for file in folder.glob("*.txt")})
        raise TrainingProblem(
            f"There is no prompt template '{name[:60]}'.",
            field="template_filename",
            hint=f"There are {', '.join(there)}.",
        )
    return str(path)


def _preview(body: dict[str, Any]) -> str:
    options = {
        "n": body.get("preview_negative_prompt"),
        "w": body.get("preview_width"),
        "h": body.get("preview_height"),
        "d": body.get("preview_seed"),
        "l": body.get("preview_cfg_scale"),
        "s": body.get("preview_steps"),
        "ss": body.get("preview_sampler_name") and split_sampler_name(str(body["preview_sampler_name"]), None)[0],
    }
    said = [f"--{key} {value}" for key, value in options.items() if value not in (None, "", -1)]
    return " ".join([str(body["preview_prompt"]).replace("\n", " "), *said])


def _numbers(body: dict[str, Any], key: str, default: str = "") -> list[float]:
    value = body.get(key) or default
    parts = value if isinstance(value, list) else str(value).split(",")
    try:
        return [float(part) for part in parts if str(part).strip()] or [0.0]
    except (TypeError, ValueError):
        raise TrainingProblem(
            f"{key}: '{str(value)[:60]}' is no list of numbers.", field=key, hint="Write it like 1, 2, 1."
        ) from None
