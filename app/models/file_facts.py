"""FileFacts: what a checkpoint says of itself in metadata, marker tensors and `.yaml` sidecar.

The key `easel.config` holds JSON: {"unet": {"norm_num_groups", "num_attention_heads" or "attention_head_dim"},
"vae": {"norm_num_groups"}, "text": {"num_attention_heads", "hidden_act"} (a list of these for two encoders),
"prediction_type", "zero_terminal_snr", "width", "height", "steps", "cfg_scale", "sampler", "preview_factors"};
all of it optional.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.files import CONFIG_KEY, V_MARKER, told_prediction
from app.models.families import PredictionType
from app.schema.errors import BrokenModelFile

ZERO_TERMINAL_SNR_MARKER = "ztsnr"

_RESOLUTION = re.compile(r"^\s*(\d+)\s*x\s*(\d+)\s*$")


@dataclass(frozen=True)
class FileFacts:
    """Facts from one file; None where it says nothing.

    unet_heads: heads of each level, or one number for all; unet_head_width: channels per head instead.
    text_heads, text_activations: one entry per text encoder. preview: rows as in `app.models.previews`.
    """

    unet_norm_groups: int | None = None
    unet_heads: int | tuple[int, ...] | None = None
    unet_head_width: int | None = None
    vae_norm_groups: int | None = None
    text_heads: tuple[int | None, ...] = ()
    text_activations: tuple[str | None, ...] = ()
    prediction_type: PredictionType | None = None
    zero_terminal_snr: bool = False
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    preview: tuple[tuple[float, float, float], ...] | None = None


def read_facts(path: Path, names: Iterable[str], metadata: Mapping[str, str]) -> FileFacts:
    """Facts of a checkpoint.

    The prediction type is what `told_prediction` says. A zero terminal SNR: `easel.config`, the marker tensor
    `ztsnr`, or what kohya's trainer writes. Raises BrokenModelFile when `easel.config` is no use.
    """
    try:
        config = json.loads(metadata.get(CONFIG_KEY, "{}"))
        unet, vae, text = config.get("unet", {}), config.get("vae", {}), config.get("text", {})
        texts = text if isinstance(text, list) else [text]
        width, height = _resolution(metadata.get("modelspec.resolution", ""))
        heads = unet.get("num_attention_heads")
        names = set(names)
        said = told_prediction(path, metadata, V_MARKER in names)
        return FileFacts(
            unet_norm_groups=_whole(unet.get("norm_num_groups")),
            unet_heads=tuple(_counts(heads)) if isinstance(heads, list) else _whole(heads),
            unet_head_width=_whole(unet.get("attention_head_dim")),
            vae_norm_groups=_whole(vae.get("norm_num_groups")),
            text_heads=tuple(_whole(entry.get("num_attention_heads")) for entry in texts),
            text_activations=tuple(_activation(entry.get("hidden_act")) for entry in texts),
            prediction_type=said.type if said else None,
            zero_terminal_snr=(
                ZERO_TERMINAL_SNR_MARKER in names
                or config.get("zero_terminal_snr") is True
                or metadata.get("ss_zero_terminal_snr") == "True"
            ),
            width=_whole(config.get("width")) or width,
            height=_whole(config.get("height")) or height,
            steps=_whole(config.get("steps")),
            cfg_scale=None if config.get("cfg_scale") is None else float(config["cfg_scale"]),
            sampler=config.get("sampler"),
            preview=_preview(config.get("preview_factors")),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenModelFile(
            f"The metadata '{CONFIG_KEY}' of {path.name} cannot be used: {error}.",
            hint="Remove that key, or write it anew.",
        ) from error


def describe(unet: Any, vae: Any, text_encoders: Iterable[Any], **settings: Any) -> str:
    """The JSON of `easel.config` for diffusers' and transformers' modules.

    settings: prediction_type, width, height, steps, cfg_scale, sampler, preview_factors; None is left out.
    """
    config: dict[str, Any] = {
        "unet": {
            "norm_num_groups": unet.config.norm_num_groups,
            # diffusers' attention_head_dim is the number of heads (its issue 2011).
            "num_attention_heads": unet.config.attention_head_dim,
        },
        "vae": {"norm_num_groups": vae.config.norm_num_groups},
        "text": [
            {"num_attention_heads": encoder.config.num_attention_heads, "hidden_act": encoder.config.hidden_act}
            for encoder in text_encoders
        ],
    }
    config.update((name, value) for name, value in settings.items() if value is not None)
    return json.dumps(config)


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{value!r} is not a whole number above 0")
    return int(value)


def _counts(values: Iterable[Any]) -> Iterator[int]:
    for value in values:
        count = _whole(value)
        if count is None:
            raise ValueError("a number of heads is missing")
        yield count


def _activation(said: Any) -> str | None:
    if said not in (None, "quick_gelu", "gelu"):
        raise ValueError(f"the activation {said!r} is not known")
    return str(said) if said else None


def _resolution(text: str) -> tuple[int | None, int | None]:
    found = _RESOLUTION.match(text)
    return (int(found.group(1)), int(found.group(2))) if found else (None, None)


def _preview(rows: Any) -> tuple[tuple[float, float, float], ...] | None:
    if rows is None:
        return None
    read = tuple((float(red), float(green), float(blue)) for red, green, blue in rows)
    return read if len(read) > 4 else (*read, (0.0, 0.0, 0.0))
