"""Networks that an infotext names outside its prompt, as tags in it.

Hypernetworks of old, the additional-networks extension, LoRA hashes of A1111 and civitai (a1111-facts 4.2, 4.3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from app.schema.errors import EaselError

_TAG: Final = re.compile(r"<(?P<kind>lora|lyco):(?P<name>[^:<>]+)")
_HASH_AT_END: Final = re.compile(r"\([0-9a-fA-F]+\)\Z")
_MODEL: Final = "AddNet Model "


def with_hypernetwork(prompt: str, fields: Mapping[str, str]) -> str:
    """The prompt with the tag of `Hypernet`, as versions before tags named it."""
    name = fields.get("Hypernet")
    return prompt if name is None else f"{prompt}<hypernet:{name}:{fields.get('Hypernet strength', '1.0')}>"


def with_additional_networks(prompt: str, fields: Mapping[str, str]) -> str:
    """The prompt with a line of tags for the LoRAs that the additional-networks extension put on."""
    tags = []
    for key, model in fields.items():
        number = key.removeprefix(_MODEL)
        if key.startswith(_MODEL) and fields.get(f"AddNet Module {number}") == "LoRA":
            name = _HASH_AT_END.sub("", model).rstrip()
            tags.append(f"<lora:{name}:{fields.get(f'AddNet Weight A {number}', '1.0')}>")
    return f"{prompt}\n{''.join(tags)}" if tags else prompt


def with_local_names(prompt: str, fields: Mapping[str, str], find: Callable[[str], str | None]) -> str:
    """The prompt in which a LoRA that is here under another name, told by its hash, is called by that name."""
    hashes = network_hashes(fields)

    def renamed(tag: re.Match[str]) -> str:
        short_hash = hashes.get(tag["name"])
        name = None
        if short_hash:
            with suppress(EaselError):
                name = find(short_hash)
        return f"<{tag['kind']}:{name}" if name else tag[0]

    return _TAG.sub(renamed, prompt) if hashes else prompt


def network_hashes(fields: Mapping[str, str]) -> dict[str, str]:
    """Name -> short hash of the LoRAs in `Lora hashes` ("name: hash, ...") and `Hashes` ({"lora:name": "hash"})."""
    listed = (entry.rpartition(":") for entry in fields.get("Lora hashes", "").split(","))
    hashes = {name.strip(): value.strip() for name, _, value in listed if name.strip() and value.strip()}
    for name, value in civitai_hashes(fields).items():
        if name.casefold().startswith("lora:"):
            hashes.setdefault(name[len("lora:") :], value)
    return hashes


def civitai_hashes(fields: Mapping[str, str]) -> dict[str, str]:
    """The JSON of `Hashes`: "model", "vae", "lora:name" ... -> hash; empty when there is none that can be read."""
    try:
        hashes = json.loads(fields.get("Hashes", ""))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(hashes, dict):
        return {}
    return {name: value for name, value in hashes.items() if isinstance(value, str) and value}
