"""The parameters of an infotext as A1111's POST /sdapi/v1/png-info answers them.

A1111's reading to the letter (a1111-facts 4.3): last line only, sizes as two keys, defaults filled in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any, Final, Literal

from app.schema.errors import EaselError
from app.schema.infotext.keys import A1111_DEFAULTS
from app.schema.infotext.lookups import NO_LOOKUPS, Lookups
from app.schema.infotext.networks import with_additional_networks, with_hypernetwork, with_local_names
from app.schema.infotext.pairs import read_pairs, split_size
from app.schema.infotext.reader import last_line, readable, split_prompts
from app.schema.infotext.text import NEGATIVE
from app.schema.infotext.versions import compatibility

Parameters = dict[str, Any]
StylePasting = Literal["Ignore", "Apply", "Discard", "Apply if any"]

_LABEL: Final = re.compile(re.escape(NEGATIVE))
_FIRST_PASS_PIXELS: Final = 512 * 512


def a1111_parameters(
    text: str,
    lookups: Lookups = NO_LOOKUPS,
    *,
    styles: StylePasting = "Apply if any",
    old_behaviour: bool = True,
    skip: Collection[str] = (),
) -> Parameters:
    """Key -> value as A1111 reads the text, in its order.

    styles: the option infotext_styles. old_behaviour: the option auto_backcompat. skip: infotext_skip_pasting.
    """
    prompts, line = last_line(readable(text).strip())
    prompt, negative_prompt = split_prompts(prompts, _LABEL)
    parameters = _read(line)
    if styles != "Ignore" and lookups.extract_styles is not None:
        found, prompt, negative_prompt = lookups.extract_styles(prompt, negative_prompt)
        if styles == "Apply" or (styles == "Apply if any" and found):
            parameters["Styles array"] = list(found)
    parameters |= {"Prompt": prompt, "Negative prompt": negative_prompt}
    parameters["Prompt"] = with_hypernetwork(prompt, parameters)
    parameters |= {key: value for key, value in A1111_DEFAULTS.items() if key not in parameters}
    parameters |= old_hires_sizes(parameters)
    if "Emphasis" not in parameters and (_weighs(prompt, lookups) or _weighs(negative_prompt, lookups)):
        parameters["Emphasis"] = "Original"
    parameters.setdefault("Refiner switch by sampling steps", False)
    if old_behaviour:
        parameters |= compatibility(parameters, parameters["Prompt"])
    return {key: value for key, value in parameters.items() if key not in skip}


def png_info_parameters(
    text: str,
    lookups: Lookups = NO_LOOKUPS,
    *,
    styles: StylePasting = "Apply if any",
    old_behaviour: bool = True,
    skip: Collection[str] = (),
) -> Parameters:
    """The same with what A1111's LoRA extension adds when a text is pasted: tags for AddNet, names that are here."""
    parameters = a1111_parameters(text, lookups, styles=styles, old_behaviour=old_behaviour, skip=skip)
    if "Prompt" in parameters:
        prompt = with_additional_networks(parameters["Prompt"], parameters)
        parameters["Prompt"] = with_local_names(prompt, parameters, lookups.network)
    return parameters


def old_hires_sizes(parameters: Parameters) -> dict[str, int]:
    """The two passes' sizes where an old text gives `First pass size`: `Size` meant the second pass then.

    0x0 stands for what A1111 chose then: about 512x512 pixels in the picture's shape, in steps of 64.
    """
    try:
        first = int(parameters["First pass size-1"]), int(parameters["First pass size-2"])
        width, height = int(parameters.get("Size-1", 512)), int(parameters.get("Size-2", 512))
    except (KeyError, ValueError):
        return {}
    if 0 in first:
        first = _old_first_pass(width, height)
    return {"Size-1": first[0], "Size-2": first[1], "Hires resize-1": width, "Hires resize-2": height}


def _old_first_pass(width: int, height: int) -> tuple[int, int]:
    if width <= 0 or height <= 0:
        return width, height
    scale = math.sqrt(_FIRST_PASS_PIXELS / (width * height))
    return math.ceil(scale * width / 64) * 64, math.ceil(scale * height / 64) * 64


def _read(line: str) -> Parameters:
    parameters: Parameters = {}
    for pair in read_pairs(line):
        size = split_size(pair.value)
        if size is not None:
            parameters |= {f"{pair.key}-1": size[0], f"{pair.key}-2": size[1]}
        elif pair.written:
            parameters[pair.key] = pair.value
    return parameters


def _weighs(prompt: str, lookups: Lookups) -> bool:
    try:
        return lookups.uses_emphasis(prompt)
    except EaselError:  # such as a weight that is no number: emphasis was meant
        return True
