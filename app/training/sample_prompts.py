"""Sample prompts: the lines of kohya's syntax (`text --n not this --w 512 --h 768 --d seed --l cfg --s steps`) read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from app.schema.errors import EaselError, TrainingProblem
from app.schema.request import GenerationRequest, parse_request
from app.schema.training import TrainingRequest

_OPTION = re.compile(r"\s--([a-z]+)\s+([^-].*?|-[\d.].*?)(?=\s--[a-z]|$)")
_FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "n": ("negative_prompt", str),
    "w": ("width", int),
    "h": ("height", int),
    "d": ("seed", int),
    "l": ("cfg_scale", float),
    "s": ("steps", int),
    "ss": ("sampler", str),
}
STEPS, CFG_SCALE, SAMPLER = 20, 7.0, "Euler"


def sample_requests(request: TrainingRequest, word: str) -> tuple[GenerationRequest, ...]:
    """One for each line; without lines, one for the word that is learnt. word: what calls it.

    Size and seed are the training's where the line says none; the seed rises line by line.
    Raises TrainingProblem naming the line that cannot be read.
    """
    lines = [line.strip() for line in request.sample_prompts.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines and (subject := f"{word} {request.class_words}".strip()):
        lines = [f"a picture of {subject}"]
    return tuple(_read(line, number, request) for number, line in enumerate(lines))


def _read(line: str, number: int, request: TrainingRequest) -> GenerationRequest:
    fields: dict[str, Any] = {
        "width": request.width // 8 * 8,
        "height": request.height // 8 * 8,
        "seed": (request.seed + number) % 2**31,
        "variation_seed": 0,
        "steps": STEPS,
        "cfg_scale": CFG_SCALE,
        "sampler": SAMPLER,
        "clip_skip": request.clip_skip,
    }
    hint = "Write them like: a red house --n blurry --w 512 --h 512 --d 7 --l 7 --s 20"
    for name, value in _OPTION.findall(f" {line}"):
        if name not in _FIELDS:
            raise TrainingProblem(
                f"Sample prompt {number + 1} has an option --{name}, which is not known.",
                field="sample_prompts",
                hint=hint,
            )
        field, kind = _FIELDS[name]
        try:
            fields[field] = kind(value.strip())
        except ValueError:
            raise TrainingProblem(
                f"Sample prompt {number + 1}: '{value.strip()[:40]}' is no value of --{name}.",
                field="sample_prompts",
                hint=hint,
            ) from None
    fields["prompt"] = re.split(r"(?:^|\s)--[a-z]+\s", line, maxsplit=1)[0].strip()
    try:
        return parse_request(fields)
    except EaselError as problem:
        raise TrainingProblem(f"Sample prompt {number + 1}: {problem}", field="sample_prompts", hint=hint) from None
