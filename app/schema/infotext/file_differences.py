"""Which model files of a recipe are not those at hand, told by hash where both are known and by name otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from app.schema.infotext.networks import civitai_hashes, network_hashes

SHORTEST_HASH: Final = 8
_NO_VAE: Final = frozenset({"", "automatic", "none", "baked in"})


class NamedFile(NamedTuple):
    """A file at hand. name: its stem or file name. hashes: all that are known of it, whole or short, in hex."""

    name: str
    hashes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """`name [hash]`."""
        return f"{self.name} [{self.hashes[0][:10]}]" if self.hashes else self.name


class FileWords(NamedTuple):
    """theirs, ours: the files as shown. words: what that means. certain: whether they are known to differ."""

    theirs: str
    ours: str
    words: str
    certain: bool = True


def checkpoint_difference(fields: Mapping[str, str], ours: NamedFile, here: bool) -> FileWords | None:
    """None where hashes agree. here: whether the recipe's checkpoint is among this machine's."""
    name = fields.get("Model", "")
    short_hash = fields.get("Model hash", "") or civitai_hashes(fields).get("model", "")
    if not name and not short_hash:
        return FileWords("not said", ours.shown, "The file does not say which checkpoint made it.", False)
    return _compared(name, short_hash, ours, here, "checkpoint")


def vae_difference(fields: Mapping[str, str], ours: NamedFile | None, here: bool) -> FileWords | None:
    """None where both use the checkpoint's own, or the same file. ours: None for the checkpoint's own."""
    name, short_hash = fields.get("VAE", ""), fields.get("VAE hash", "")
    own = "the checkpoint's own"
    if name.casefold() in _NO_VAE and not short_hash:
        if ours is None:
            return None
        return FileWords(own, ours.shown, "Another VAE: colours and fine details change.")
    if ours is None:
        missing = "" if here else " It is not here."
        return FileWords(_shown(name, short_hash), own, f"Another VAE: colours and fine details change.{missing}")
    return _compared(name, short_hash, ours, here, "VAE")


def network_differences(fields: Mapping[str, str], here: Mapping[str, NamedFile]) -> Iterator[tuple[str, FileWords]]:
    """(label, words) of each LoRA and embedding that a recipe names with a hash and that is missing or another."""
    learned = (entry.rpartition(":") for entry in fields.get("TI hashes", "").split(","))
    embeddings = {name.strip(): value.strip() for name, _, value in learned}
    for kind, hashes in (("LoRA", network_hashes(fields)), ("Embedding", embeddings)):
        for name, short_hash in hashes.items():
            if not name or not short_hash:
                continue
            file = here.get(name)
            told = (
                FileWords(_shown(name, short_hash), "not here", f"This {kind} is missing: the prompt goes without it.")
                if file is None
                else _compared(name, short_hash, file, True, kind)
            )
            if told:
                yield f"{kind} {name}", told


def _compared(name: str, short_hash: str, ours: NamedFile, here: bool, kind: str) -> FileWords | None:
    theirs = _shown(name, short_hash)
    same_name = name != "" and name.casefold() in (ours.name.casefold(), ours.name.rpartition(".")[0].casefold())
    if short_hash and ours.hashes:
        if any(_agree(short_hash, known) for known in ours.hashes):
            return None
        if _comparable(short_hash, ours.hashes):
            if same_name:
                words = f"A {kind} of the same name, but its hash is another: the files are not the same."
            else:
                words = f"Another {kind}." if here else f"Another {kind}; the one that made the picture is not here."
            return FileWords(theirs, ours.shown, words)
    if not same_name:
        words = f"Another {kind}." if here else f"Another {kind}; the one that made the picture is not here."
        return FileWords(theirs, ours.shown, words)
    if short_hash:
        words = "The names agree; the hash of the file here is not known yet. It is after its first picture."
        return FileWords(theirs, ours.shown, words, False)
    words = f"The names agree, but the file gives no hash of its {kind}: whether it is the same one cannot be told."
    return FileWords(theirs, ours.shown, words, False)


def _agree(one: str, other: str) -> bool:
    one, other = one.strip().casefold(), other.strip().casefold()
    length = min(len(one), len(other))
    return length >= SHORTEST_HASH and one[:length] == other[:length]


def _comparable(short_hash: str, known: tuple[str, ...]) -> bool:
    """Eight digits are A1111's hash of old, which only another of eight digits contradicts."""
    return len(short_hash.strip()) > SHORTEST_HASH or any(len(one) == SHORTEST_HASH for one in known)


def _shown(name: str, short_hash: str) -> str:
    return f"{name} [{short_hash}]" if name and short_hash else name or f"[{short_hash}]"
