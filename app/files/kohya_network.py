"""The network of a sd-scripts TOML: a LoRA's kind, ranks and alphas from network_module, network_dim and network_args.

Defaults are those of sd-scripts' networks/lora.py and of LyCORIS' kohya.py.
"""

from __future__ import annotations

from app.files.kohya_values import Flat, Imported, arguments, does_nothing, number, whole
from app.schema.errors import TrainingProblem

NETWORK_KEYS = frozenset({"network_module", "network_dim", "network_alpha", "network_dropout", "network_args"})
_LORA = "networks.lora"
_LYCORIS = ("lycoris.kohya", "lycoris", "locon.locon_kohya")
_ALGOS = {"lora": "LoCon", "locon": "LoCon", "loha": "LoHa", "lokr": "LoKr"}
_NO_CONVOLUTIONS = "attn-mlp"
_PRESETS = ("full", _NO_CONVOLUTIONS)
_ARGS = "network_args"


def read_network(flat: Flat) -> Imported:
    """Raises TrainingProblem for a network of a kind that is not trained here, and for numbers that are none."""
    module, said = str(flat.get("network_module", _LORA)), arguments(flat, _ARGS)
    if module not in (_LORA, *_LYCORIS):
        raise _not_served("network_module", module)
    rank, alpha = whole(flat, "network_dim", 4), number(flat, "network_alpha", 1.0)
    dropout = number(flat, "network_dropout", 0.0)
    if module == _LORA:
        taken = {"conv_dim", "conv_alpha"}
        conv_rank, conv_alpha = whole(said, "conv_dim", 0, _ARGS), number(said, "conv_alpha", 1.0, _ARGS)
        kind = "LoCon"
    else:
        taken = {"algo", "conv_dim", "conv_alpha", "dropout", "factor"}
        conv_rank, conv_alpha = whole(said, "conv_dim", rank, _ARGS), number(said, "conv_alpha", alpha, _ARGS)
        kind = _ALGOS.get(said.get("algo", "lora").lower(), "")
        if not kind:
            raise _not_served("algo", said["algo"])
        if said.get("preset", "full") in _PRESETS:
            taken.add("preset")
        if said.get("preset") == _NO_CONVOLUTIONS:
            conv_rank = 0
        if kind == "LoCon" and not does_nothing(said.get("dora_wd", "")):
            taken.add("dora_wd")
            kind = "DoRA"
        dropout = number(said, "dropout", dropout, _ARGS)
    if kind == "LoCon" and not conv_rank:
        kind = "LoRA"
    fields = {
        "lora_kind": kind,
        "rank": rank,
        "alpha": alpha or float(rank),
        "conv_rank": conv_rank,
        "conv_alpha": conv_alpha or float(conv_rank) or 1.0,
        "lokr_factor": whole(said, "factor", -1, _ARGS),
        "network_dropout": dropout,
    }
    left_out = (f"{_ARGS}: {key}" for key, value in said.items() if key not in taken and not does_nothing(value))
    return Imported(fields, tuple(left_out))


def _not_served(key: str, name: str) -> TrainingProblem:
    return TrainingProblem(
        f"{key} '{name}' is not served: its networks are of another kind.",
        field="lora_kind",
        hint=f"There are {_LORA}, and lycoris.kohya with algo {', '.join(_ALGOS)}, or with dora_wd=True.",
    )
