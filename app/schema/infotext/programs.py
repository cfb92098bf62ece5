"""Other programs' own formats, NovelAI's, InvokeAI's, Fooocus' ..., as an Infotext.

Names of samplers become A1111's where there is one. Never raises; knows nothing of our requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.schema.infotext.comfyui import is_graph, read_graph
from app.schema.infotext.names import a1111_names, file_stem
from app.schema.infotext.text import Infotext

_SIZE: Final = re.compile(r"\D*(\d{1,6})\D+(\d{1,6})\D*")
_KEY: Final = re.compile(r"\w[\w /-]+")
_PROMPTS: Final = ("positive_prompt", "prompt", "c")
_NEGATIVES: Final = ("negative_prompt", "negativeprompt", "uc")
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Steps": ("steps", "num_inference_steps"),
    "CFG scale": ("cfg_scale", "cfgscale", "guidance_scale", "scale"),
    "Seed": ("seed",),
    "Size": ("resolution", "size"),
    "Model hash": ("model_hash", "base_model_hash"),
    "Model": ("base_model", "model", "model_weights", "use_stable_diffusion_model"),
    "VAE": ("vae", "use_vae_model"),
    "Denoising strength": ("strength", "prompt_strength"),
    "Clip skip": ("clip_skip", "clipskip"),
    "RNG": ("rand_device",),
    "Version": ("app_version", "swarm_version", "version"),
}
"""A1111's key: what others call it."""
_SAMPLER_NAMES: Final = ("sampler", "sampler_name", "comfyuisampler")
_SCHEDULE_NAMES: Final = ("scheduler", "comfyuischeduler")
_MARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "Draw Things": ("c", "uc"),
    "NovelAI": ("uc", "scale"),
    "InvokeAI": ("app_version",),
    "Fooocus": ("guidance_scale", "base_model"),
    "SwarmUI": ("swarm_version",),
    "Easy Diffusion": ("use_stable_diffusion_model",),
}
"""Names that give away whose metadata these are; the first that fits counts."""


def read_json_text(text: str) -> Infotext | None:
    """An infotext that is one JSON object, or None when it is none of a known kind."""
    text = text.strip()
    return _translated(_object(text)) if text.startswith("{") and text.endswith("}") else None


def read_picture_items(items: Mapping[str, str], width: int = 0, height: int = 0) -> Infotext | None:
    """What the texts of a picture file without 'parameters' say, by name; None when no known program wrote them.

    width, height: of the picture in pixels, for formats that leave its size out.
    """
    size = f"{width}x{height}" if width > 0 and height > 0 else ""
    if items.get("Software") == "NovelAI":
        return _novelai(_object(items.get("Comment", "")), items.get("Description"), size)
    for name in ("invokeai_metadata", "sd-metadata", "prompt", "parameters", "Comment"):
        found = _translated(_object(items.get(name, "")))
        if found is not None:
            return found
    return _translated(dict(items)) if "use_stable_diffusion_model" in items else None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _translated(data: dict[str, Any]) -> Infotext | None:
    if is_graph(data):
        return read_graph(data)
    if data.get("Software") == "NovelAI" and isinstance(data.get("Comment"), str):
        return _novelai(_object(data["Comment"]), data.get("Description"), "")
    for inner in ("sui_image_params", "image"):
        if isinstance(data.get(inner), dict):
            data = {**data, **data[inner]}
            data.pop(inner)
    program = next((name for name, marks in _MARKS.items() if all(mark in data for mark in marks)), "")
    if program == "NovelAI":
        return _novelai(data, None, "")
    return _flat(data, program) if program else None


def _novelai(data: dict[str, Any], description: object, size: str) -> Infotext | None:
    """NovelAI's first models were SD1 fine-tunes with clip skip 2 and ENSD 31337 (a1111-facts 4.3)."""
    if "steps" not in data:
        return None
    sampler, _ = a1111_names(_text(data.get("sampler")), "")
    size = size or (f"{data['width']}x{data['height']}" if {"width", "height"} <= data.keys() else "")
    fields = {
        "Steps": _text(data.get("steps")),
        "Sampler": sampler or "Euler a",
        "CFG scale": _text(data.get("scale")),
        "Seed": _text(data.get("seed")),
        "Size": size,
        "Clip skip": "2",
        "ENSD": "31337",
    }
    prompt = description if isinstance(description, str) else _text(data.get("prompt"))
    return Infotext(prompt, _text(data.get("uc")), _said(fields), program="NovelAI")


def _flat(data: dict[str, Any], program: str) -> Infotext:
    """Metadata that are names and values; what has no name of A1111's stays under its own."""
    used = {*_PROMPTS, *_NEGATIVES, *_SAMPLER_NAMES, *_SCHEDULE_NAMES, "width", "height", "loras"}
    sampler, schedule = a1111_names(_first(data, _SAMPLER_NAMES), _first(data, _SCHEDULE_NAMES))
    fields = {"Steps": "", "Sampler": sampler, "Schedule type": schedule}
    for key, names in _NAMES.items():
        fields[key] = _first(data, names)
        used.update(names)
    size = _SIZE.fullmatch(fields["Size"])
    width, height = (size[1], size[2]) if size else (_text(data.get("width")), _text(data.get("height")))
    fields["Size"] = f"{width}x{height}" if width and height else ""
    fields["Model"] = file_stem(fields["Model"])
    fields["RNG"] = fields["RNG"].upper() if fields["RNG"].casefold() == "cpu" else ""
    fields["Version"] = f"{program} {fields['Version'].removeprefix(f'{program} ')}".strip()
    others = {
        key: _text(value) for key, value in data.items() if key not in used and not isinstance(value, dict | list)
    }
    version = fields.pop("Version")
    tags = "".join(f" <lora:{name}:{weight}>" for name, weight in _loras(data.get("loras")))
    prompt = _first(data, _PROMPTS) + tags
    return Infotext(prompt, _first(data, _NEGATIVES), _said({**fields, **others, "Version": version}), program=program)


def _is_plain(key: str, value: object) -> bool:
    """Whether an entry of an infotext can hold it."""
    return _KEY.fullmatch(key) is not None and not isinstance(value, dict | list)


def _loras(value: object) -> Iterator[tuple[str, str]]:
    """Name and weight of each entry: [name, weight, ...] in Fooocus, objects in InvokeAI."""
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, list) and len(entry) >= 2:
            yield file_stem(_text(entry[0])), _text(entry[1])
        elif isinstance(entry, dict):
            name = file_stem(_text(entry.get("model", entry.get("lora"))))
            if name:
                yield name, _text(entry.get("weight", 1))


def _first(data: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(data.get(name)))), "")


def _text(value: object) -> str:
    """A scalar as text; of an object its name, of a list of prompts or numbers its parts."""
    if isinstance(value, dict):
        return next((_text(value[name]) for name in ("name", "model_name", "lora", "prompt") if value.get(name)), "")
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value if not isinstance(part, list))
    return "" if value is None else str(value)


def _said(fields: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in fields.items() if value}
