"""Diffusers folder: the parts of a pipeline in their sub-folders, read as one checkpoint of the original layout.

Weights in safetensors or .bin, whole or in shards; the configurations beside them become the facts that shapes
cannot tell. Runs nothing that lies in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.files import Identity
from app.files.contents import Content, tell_content
from app.models.file_facts import CONFIG_KEY
from app.models.named_weights import NamedWeights
from app.models.original_names import PARTS, family_of_diffusers, part_names
from app.models.pickled_weights import PickledWeights
from app.models.weights import WeightFile, Weights
from app.schema.errors import BrokenModelFile, UnsupportedModel

# In the order of preference; a name may carry a variant before its ending ('model.fp16.safetensors').
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDINGS = (".safetensors", ".bin")
_LARGEST_CONFIG = 10_000_000


def open_weight_file(path: Path) -> Weights:
    """One file of weights; its content decides how it is read. Raises as `read_header` and `read_pickle` do."""
    try:
        pickled = tell_content(path) in (Content.ZIP, Content.PICKLE)
    except OSError:
        pickled = False  # the reader says in words what is wrong
    return PickledWeights(path) if pickled else WeightFile(path)


def open_folder(folder: Path) -> NamedWeights:
    """A folder with model_index.json, as `Weights` under the original names.

    Raises UnsupportedModel for a pipeline that is not Stable Diffusion's, BrokenModelFile when parts are missing.
    """
    files = {part: _files_of(folder / part.removesuffix(".")) for part in PARTS}
    if not files["unet."]:
        raise UnsupportedModel(
            f"The folder {folder.name} has no weights in its sub-folder unet: it is no Stable Diffusion model, "
            "or was downloaded in part."
        )
    shapes = {name: shape for file in files["unet."] for name, shape in file.shapes.items()}
    family = family_of_diffusers(shapes, "", [part for part in PARTS if files[part]])
    places: dict[str, tuple[Weights, str]] = {}
    for part, weights in files.items():
        lies_in = {name: file for file in weights for name in file.shapes}
        for original, name in part_names(lies_in, part, family).items():
            places[original] = lies_in[name], name
    return NamedWeights(folder, Identity.of(folder), _facts(folder), places, family)


def open_part(folder: Path, part: str) -> NamedWeights:
    """One part's folder by itself ('unet.', 'vae.'), under the original names."""
    lies_in = {name: file for file in _files_of(folder) for name in file.shapes}
    names = part_names(lies_in, part, "")
    places = {original: (lies_in[name], name) for original, name in names.items()}
    config = {part.removesuffix("."): _unet_or_vae(_config(folder / "config.json"))}
    return NamedWeights(folder, Identity.of(folder), {CONFIG_KEY: json.dumps(config)}, places)


def _files_of(folder: Path) -> list[Weights]:
    """The files that hold a part's weights: the full ones before a variant's, safetensors before pickles."""
    found = [path for path in folder.glob("*") if path.name.endswith((*_ENDINGS, ".index.json"))]
    choices = sorted(filter(None, map(_rank, found)))
    if not choices:
        return []
    path = choices[0][-1]
    if path.name.endswith(".index.json"):
        return [open_weight_file(folder / name) for name in _shards(path)]
    return [open_weight_file(path)]


def _rank(path: Path) -> tuple[int, int, int, str, Path] | None:
    name = path.name.removesuffix(".index.json")
    sharded = name != path.name
    ending = next((number for number, ending in enumerate(_ENDINGS) if name.endswith(ending)), None)
    if ending is None:
        return None
    stem, _, variant = name.removesuffix(_ENDINGS[ending]).partition(".")
    if stem not in _STEMS:
        return None  # shards themselves, Flax, ONNX and the like
    return ending, bool(variant), sharded, variant, path


def _shards(index: Path) -> list[str]:
    table = _config(index).get("weight_map")
    names = sorted(set(table.values())) if isinstance(table, dict) and all(map(_text, table.values())) else []
    if not names:
        raise BrokenModelFile(f"{index.name} in {index.parent} names no files.", hint="Download the folder again.")
    for name in names:
        if Path(name).name != name:
            raise BrokenModelFile(f"{index.name} in {index.parent} points outside of its folder: {name[:100]}.")
    return names


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _facts(folder: Path) -> Mapping[str, str]:
    """The configurations as the metadata of a single file would say the same."""
    unet, vae = _config(folder / "unet" / "config.json"), _config(folder / "vae" / "config.json")
    schedule = _config(folder / "scheduler" / "scheduler_config.json")
    names = [part.removesuffix(".") for part in PARTS[2:] if (folder / part.removesuffix(".")).is_dir()]
    texts = [_config(folder / name / "config.json") for name in names]
    config: dict[str, Any] = {
        "unet": _unet_or_vae(unet),
        "vae": _unet_or_vae(vae),
        "text": [_only(text, ("num_attention_heads", "hidden_act")) for text in texts],
        "zero_terminal_snr": schedule.get("rescale_betas_zero_snr") is True,
    }
    if schedule.get("prediction_type"):
        config["prediction_type"] = schedule["prediction_type"]
    levels = vae.get("block_out_channels")
    if isinstance(unet.get("sample_size"), int):
        factor = 2 ** (len(levels) - 1) if isinstance(levels, list) and levels else 8
        config["width"] = config["height"] = unet["sample_size"] * factor
    return {CONFIG_KEY: json.dumps(config)}


def _unet_or_vae(config: Mapping[str, Any]) -> dict[str, Any]:
    # diffusers' attention_head_dim is the number of heads (its issue 2011).
    heads = config.get("num_attention_heads") or config.get("attention_head_dim")
    return _only({**config, "num_attention_heads": heads}, ("norm_num_groups", "num_attention_heads"))


def _only(config: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: config[key] for key in keys if config.get(key) is not None}


def _config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            return {}
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        raise BrokenModelFile(f"{path} is no valid JSON: {error}.", hint="Download the folder again.") from error
    return config if isinstance(config, dict) else {}
