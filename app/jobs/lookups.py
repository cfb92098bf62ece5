"""Lookups: what reading an infotext asks of this machine: its files by hash or name, its styles, the prompt's grammar.

Answers with names that a request may say. A file counts only where its name or hash is the one asked for: a longer
name that merely contains the text does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from app.files import CHECKPOINT, LORA, VAE, ModelFile, ModelLibrary
from app.jobs.resolve import Resolver
from app.language import extract_styles, parse_attention
from app.schema.choices import split_sampler_name
from app.schema.infotext import Lookups

SHORTEST_HASH = 8


def lookups_of(resolver: Resolver, *, styles: bool = True, checkpoint: bool = True) -> Lookups:
    """Lookups over the resolver's library and styles.

    styles: whether prompts are searched for styles. checkpoint: False leaves the checkpoint that is chosen, whatever a
    text names (A1111's option disable_weights_auto_swap).
    """
    library = resolver.library
    return Lookups(
        checkpoint=partial(_named, library, CHECKPOINT) if checkpoint else _nothing,
        vae=partial(_named, library, VAE),
        network=partial(_network, library),
        sampler=partial(split_sampler_name, choices=resolver.choices),
        uses_emphasis=_uses_emphasis,
        extract_styles=_extraction(resolver) if styles else None,
    )


def network_with_hash(library: ModelLibrary, short_hash: str) -> ModelFile | None:
    """The LoRA whose hash begins so, in any of the ways that programs have of hashing one."""
    wanted = short_hash.strip().casefold()
    if len(wanted) < SHORTEST_HASH:
        return None
    for file in library.list(LORA):
        known = (file.short_hash, file.sha256, file.addnet_hash, file.metadata.get("sshs_model_hash"))
        if file.problem is None and any(one.casefold().startswith(wanted[: len(one)]) for one in known if one):
            return file
    return None


def answers_to(file: ModelFile, text: str) -> bool:
    """Whether the text is one of the file's own names, or the beginning of its hash."""
    wanted = text.strip().replace("\\", "/").casefold()
    names = {file.stem, file.file_name, file.name, file.name.rpartition(".")[0], file.title, file.short_title}
    if wanted in {name.casefold() for name in names}:
        return True
    return len(wanted) >= SHORTEST_HASH and any(
        known is not None and known.startswith(wanted) for known in (file.sha256, file.legacy_hash)
    )


def _named(library: ModelLibrary, kind: str, text: str) -> str | None:
    file = library.find(text, kind)
    return file.name if answers_to(file, text) else None


def _nothing(text: str) -> str | None:
    return None


def _network(library: ModelLibrary, short_hash: str) -> str | None:
    file = network_with_hash(library, short_hash)
    return file.stem if file else None


def _uses_emphasis(prompt: str) -> bool:
    return any(piece.weight != 1 and piece.text != "BREAK" for piece in parse_attention(prompt))


def _extraction(resolver: Resolver) -> Callable[[str, str], tuple[Sequence[str], str, str]]:
    def extract(prompt: str, negative_prompt: str) -> tuple[Sequence[str], str, str]:
        return extract_styles(prompt, negative_prompt, tuple(resolver.styles()))

    return extract
