"""Network tags such as `<lora:name:0.8>`: cut out of the prompt and read.

Knows what a tag asks for, not which files there are; names are looked up by whoever resolves the request.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from app.schema.errors import InvalidPrompt

_TAG: Final = re.compile(r"<(\w+):([^>]+)>")
LORA_KINDS: Final = ("lora", "lyco")


class NetworkTag(NamedTuple):
    """One tag. kind: the word before the first colon, as written. arguments: what the other colons divide."""

    kind: str
    arguments: tuple[str, ...]

    @property
    def positional(self) -> tuple[str, ...]:
        """Arguments without a name; the first is the network's."""
        return tuple(argument for argument in self.arguments if argument.count("=") != 1)

    @property
    def named(self) -> dict[str, str]:
        """Arguments of the form `name=value`."""
        pairs = (argument.partition("=") for argument in self.arguments if argument.count("=") == 1)
        return {name: value for name, _, value in pairs}

    def __str__(self) -> str:
        return f"<{self.kind}:{':'.join(self.arguments)}>"


class Strength(NamedTuple):
    """What a tag asks for. unet, text: factors of the change to each. rank: of the change at most; None: its own."""

    name: str
    text: float = 1.0
    unet: float = 1.0
    rank: int | None = None


def cut_tags(prompt: str) -> tuple[str, tuple[NetworkTag, ...]]:
    """The prompt without its tags, and the tags in order; of whatever kind, known or not (a1111-facts 2.5)."""
    readable, rest = prompt[: prompt.rfind(">") + 1], prompt[prompt.rfind(">") + 1 :]
    tags = tuple(NetworkTag(kind, tuple(arguments.split(":"))) for kind, arguments in _TAG.findall(readable))
    return _TAG.sub("", readable) + rest, tags


def strength(tag: NetworkTag) -> Strength:
    """How strongly a tag wants its network: `<lora:name:text:unet:rank>` or by name `te=`, `unet=`, `dyn=`.

    Without a second factor the U-Net's is the text's. Raises InvalidPrompt for what is no number.
    """
    name, *given = tag.positional or ("",)
    named = tag.named
    text = _number(tag, named.get("te", given[0] if given else "1"))
    unet = _number(tag, named.get("unet", given[1] if len(given) > 1 else str(text)))
    rank = named.get("dyn", given[2] if len(given) > 2 else None)
    return Strength(name, text, unet, None if rank is None else int(_number(tag, rank)))


def _number(tag: NetworkTag, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if abs(number) < float("inf"):
        return number
    raise InvalidPrompt(
        f"{tag} asks for a strength of “{text}”, which is not a number.",
        hint=f"Write <{tag.kind}:name:1>, for example.",
    )
