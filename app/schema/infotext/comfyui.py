"""ComfyUI's graph of nodes as far as an infotext can say it: its first sampler.

Follows links of the API format; unknown nodes are passed through. Never raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app.schema.infotext.names import a1111_names, file_stem
from app.schema.infotext.text import Infotext

Graph = dict[str, Any]

_TEXT_INPUTS: Final = ("text", "text_g", "text_l", "prompt", "string", "value")


def is_graph(data: Graph) -> bool:
    """Whether these are nodes by id, each with a class and inputs."""
    return any(isinstance(node, dict) and "class_type" in node and "inputs" in node for node in data.values())


def read_graph(graph: Graph) -> Infotext | None:
    """The picture that a graph makes; None when it has no sampler with prompts.

    Of several samplers the one that starts from an empty latent counts. ComfyUI draws its noise on the CPU and starts
    from sqrt(1 + sigma_max^2) times it, which A1111 calls the SGM noise multiplier.
    """
    samplers = [inputs for node in graph.values() if _is_sampler(inputs := _inputs(node))]
    if not samplers:
        return None
    first = [inputs for inputs in samplers if _size(graph, inputs.get("latent_image"))]
    sampler = (first or samplers)[0]
    name, schedule = a1111_names(_text(sampler.get("sampler_name")), _text(sampler.get("scheduler")))
    denoise = _text(sampler.get("denoise"))
    clip_skip = _find(graph, sampler.get("positive"), "stop_at_clip_layer")
    fields = {
        "Steps": _text(sampler.get("steps")),
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": _text(sampler.get("cfg")),
        "Seed": _text(_value(graph, sampler.get("seed", sampler.get("noise_seed")))),
        "Size": _size(graph, sampler.get("latent_image")),
        "Model": file_stem(_find(graph, sampler.get("model"), "ckpt_name", "unet_name")),
        "VAE": next((file_stem(_text(_inputs(node).get("vae_name"))) for node in graph.values() if _has_vae(node)), ""),
        "Denoising strength": "" if denoise in ("", "1", "1.0") else denoise,
        "Clip skip": clip_skip.removeprefix("-") if clip_skip not in ("", "-1") else "",
        "RNG": "CPU",
        "SGM noise multiplier": "True",
        "Version": "ComfyUI",
    }
    prompt = _find(graph, sampler.get("positive"), *_TEXT_INPUTS) + "".join(_lora_tags(graph, sampler.get("model")))
    negative_prompt = _find(graph, sampler.get("negative"), *_TEXT_INPUTS)
    return Infotext(prompt, negative_prompt, {key: text for key, text in fields.items() if text}, program="ComfyUI")


def _is_sampler(inputs: Graph) -> bool:
    return {"positive", "negative", "steps", "cfg"} <= inputs.keys()


def _has_vae(node: object) -> bool:
    return isinstance(_inputs(node).get("vae_name"), str)


def _inputs(node: object) -> Graph:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}


def _linked(graph: Graph, link: object) -> str | None:
    """The id of the node that a link [id, output] comes from."""
    is_link = isinstance(link, list) and len(link) == 2 and str(link[0]) in graph
    return str(link[0]) if is_link and isinstance(link, list) else None


def _upstream(graph: Graph, link: object) -> Iterator[Graph]:
    """The inputs of the linked node and of all that lead to it, the nearest first, each once."""
    waiting, seen = [_linked(graph, link)], set()
    for identity in waiting:
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        inputs = _inputs(graph[identity])
        yield inputs
        waiting.extend(_linked(graph, value) for value in inputs.values())


def _find(graph: Graph, link: object, *names: str) -> str:
    """The first plain value under one of the names, from a link on upwards."""
    for inputs in _upstream(graph, link):
        for name in names:
            if isinstance(inputs.get(name), str | int | float):
                return _text(inputs[name])
    return ""


def _value(graph: Graph, value: object) -> object:
    """A plain value, or the first number at the end of its link."""
    if _linked(graph, value) is None:
        return value
    numbers = (number for inputs in _upstream(graph, value) for number in inputs.values() if isinstance(number, int))
    return next(numbers, None)


def _size(graph: Graph, link: object) -> str:
    """512x768 of the empty latent that a link comes from, "" where it comes from a picture."""
    for inputs in _upstream(graph, link):
        if "samples" in inputs or "pixels" in inputs or "latent_image" in inputs:
            return ""
        width, height = _text(inputs.get("width")), _text(inputs.get("height"))
        if width.isdecimal() and height.isdecimal():
            return f"{width}x{height}"
    return ""


def _lora_tags(graph: Graph, link: object) -> Iterator[str]:
    for inputs in _upstream(graph, link):
        if isinstance(inputs.get("lora_name"), str):
            yield f" <lora:{file_stem(inputs['lora_name'])}:{_text(inputs.get('strength_model', 1))}>"


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""
