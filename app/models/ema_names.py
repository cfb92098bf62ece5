"""EMA names: a trainer's averaged weights are kept under names without dots; this puts the dots back.

LDM's moving average (Rombach et al. 2022, its program) names each copy 'model_ema.' and the parameter's name with
every dot left out. The U-Net's grammar is narrow enough to read such a name in one way only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PREFIX = "model_ema.diffusion_model"
_KIND = r"(?P<kind>weight|bias)"
_TRANSFORMER = (
    r"transformer_blocks(?P<block>\d+)(?:(?P<attention>attn[12])(?:(?P<part>to_[qkv])|to_out0)"
    r"|ffnet(?:0(?P<gate>proj)|2)|(?P<norm>norm[123]))"
)
_LAYER = (
    r"(?:(?P<pair>in_layers|emb_layers|out_layers)(?P<place>\d)"
    r"|(?P<plain>skip_connection|op|conv|norm|proj_in|proj_out)"
    rf"|{_TRANSFORMER}|)"
)
# The last digit is the place within a block, of which there are three at most; the rest is the block's number.
_BLOCK = re.compile(rf"(?P<side>input_blocks|output_blocks)(?P<number>\d{{1,3}})(?P<inner>\d){_LAYER}{_KIND}")
_MIDDLE = re.compile(rf"(?P<side>middle_block)(?P<inner>\d){_LAYER}{_KIND}")
_OTHERS = re.compile(rf"(?P<name>time_embed|out|label_emb0)(?P<inner>\d){_KIND}")


def ema_names(names: Iterable[str]) -> dict[str, str]:
    """The U-Net's original names ('model.diffusion_model.out.2.weight') and those of their averages in the file."""
    found = {}
    for name in names:
        dotted = _dotted(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None
        if dotted is not None:
            found[f"model.diffusion_model.{dotted}"] = name
    return found


def _dotted(flat: str) -> str | None:
    other = _OTHERS.fullmatch(flat)
    if other is not None:
        name = "label_emb.0" if other["name"] == "label_emb0" else other["name"]
        return f"{name}.{other['inner']}.{other['kind']}"
    found = _BLOCK.fullmatch(flat) or _MIDDLE.fullmatch(flat)
    if found is None:
        return None
    said = found.groupdict()
    parts = [said["side"], said.get("number"), said["inner"], *_layer(said), said["kind"]]
    return ".".join(part for part in parts if part)


def _layer(said: dict[str, str | None]) -> list[str | None]:
    if said["pair"]:
        return [said["pair"], said["place"]]
    if said["plain"]:
        return [said["plain"]]
    if not said["block"]:
        return []
    block = ["transformer_blocks", said["block"]]
    if said["attention"]:
        return [*block, said["attention"], *([said["part"]] if said["part"] else ["to_out", "0"])]
    if said["norm"]:
        return [*block, said["norm"]]
    return [*block, "ff", "net", *(["0", "proj"] if said["gate"] else ["2"])]
