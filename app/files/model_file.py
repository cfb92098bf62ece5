"""ModelFile: one file of the library as it was at the last scan, and what its header told.

A pure value: reads nothing, and says nothing of whether the file is still the same.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.files.folders import EMBEDDING, LORA
from app.files.network_facts import EmbeddingFacts, NetworkFacts
from app.schema.errors import BrokenModelFile, EaselError, UnsafeModelFile, UnsupportedModel


class Identity(NamedTuple):
    """Which bytes on disk: they are taken for the same as long as these three are."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> Identity:
        """Identity of a file as it is now; of a folder, sum and newest of what lies in it, at most one folder deep.

        Raises OSError when it is not there.
        """
        path = Path(path)
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return cls(str(path), status.st_size, status.st_mtime_ns)
        size, newest = 0, 0
        for inner in (*path.glob("*"), *path.glob("*/*")):
            with suppress(OSError):
                status = inner.stat()
                if not stat.S_ISDIR(status.st_mode):
                    size, newest = size + status.st_size, max(newest, status.st_mtime_ns)
        return cls(str(path), size, newest)


class Problem(NamedTuple):
    """Why a file is shown in grey. code: that of the error which using it raises."""

    code: str
    text: str


@dataclass(frozen=True)
class Summary:
    """What reading the file's beginning told; remembered between starts.

    content: `Content`'s name. kind, family, variant, prediction, parts: as in `Recognised`; kind "" when the format
    hides it. metadata: values up to 1,000 characters. dtype: of most of the weights, "" when unknown. network: of a
    LoRA, embedding or hypernetwork.
    """

    content: str
    kind: str = ""
    family: str = ""
    variant: str = ""
    prediction: str = ""
    parts: tuple[str, ...] = ()
    tensors: int = 0
    dtype: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    problem: Problem | None = None
    network: NetworkFacts | None = None


@dataclass(frozen=True)
class ModelFile:
    """One entry of the library.

    kind: of the list it stands in. name: path relative to its folder, forward slashes. summary: what it holds.
    size: bytes. mtime_ns: as in stat. problem: None, or why it cannot be used. sha256, addnet_hash, legacy_hash: hex,
    None until computed. folder: it is a folder in diffusers' layout.
    """

    path: Path
    kind: str
    name: str
    size: int
    mtime_ns: int
    summary: Summary
    problem: Problem | None = None
    sha256: str | None = None
    addnet_hash: str | None = None
    legacy_hash: str | None = None
    folder: bool = False

    @property
    def identity(self) -> Identity:
        """What caches and stored requests know the file by."""
        return Identity(str(self.path), self.size, self.mtime_ns)

    @property
    def stem(self) -> str:
        """File name without folders and extension: the infotext's 'Model'."""
        return self.path.name if self.folder else self.path.stem

    @property
    def file_name(self) -> str:
        """File name with its extension: how VAEs are chosen."""
        return self.path.name

    @property
    def short_hash(self) -> str | None:
        """As infotexts print it (a1111-facts 4.5): 12 digits for LoRAs and embeddings, else 10; None if unknown."""
        if self.kind == LORA:
            said = self.metadata.get("sshs_model_hash") or self.addnet_hash
            return said[:12] if said else None
        return self.sha256[: 12 if self.kind == EMBEDDING else 10] if self.sha256 else None

    @property
    def title(self) -> str:
        """`relative/path.ext [10hex]`, or the name alone while the hash is unknown."""
        return f"{self.name} [{self.short_hash}]" if self.short_hash else self.name

    @property
    def short_title(self) -> str:
        """`stem [10hex]`."""
        return f"{self.stem} [{self.short_hash}]" if self.short_hash else self.stem

    @property
    def family(self) -> str:
        """'SD1', 'SDXL' ... or ""."""
        return self.summary.family

    @property
    def variant(self) -> str:
        """'inpaint', 'pix2pix' ... or ""."""
        return self.summary.variant

    @property
    def prediction(self) -> str:
        """'epsilon', 'v' or "" (not knowable without the weights)."""
        return self.summary.prediction

    @property
    def metadata(self) -> Mapping[str, str]:
        """The header's short metadata values; `ModelLibrary.metadata` reads all of them."""
        return dict(self.summary.metadata)

    @property
    def alias(self) -> str:
        """The name that a LoRA's trainer gave it (`ss_output_name`), else its stem."""
        return self.metadata.get("ss_output_name") or self.stem

    @property
    def word(self) -> str:
        """What stands for an embedding in a prompt: the name stored in it, as a picture's is, else its stem."""
        facts = self.summary.network
        return (facts.name if isinstance(facts, EmbeddingFacts) else "") or self.stem

    def require_usable(self) -> None:
        """Raise BrokenModelFile, UnsafeModelFile or UnsupportedModel when the file has a problem."""
        if self.problem is not None:
            kinds: tuple[type[EaselError], ...] = (UnsafeModelFile, UnsupportedModel)
            error = next((kind for kind in kinds if kind.code == self.problem.code), BrokenModelFile)
            raise error(f"{self.name} cannot be used: {self.problem.text}")
