"""Fits: what the cards ask about a network and a checkpoint, answered by `app.networks` without loading either.

Brings torch in with the first question.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from app.files import EMBEDDING, HYPERNETWORK, LORA, ModelFile
from app.language import Tokenizer

if TYPE_CHECKING:
    from app.networks import Fitting

_WORDS = {LORA: "lora", EMBEDDING: "embedding", HYPERNETWORK: "hypernet"}


class NetworkFits:
    """As `app.api` asks for it. tokenizer: CLIP's."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._fitting: Fitting | None = None
        self._lock = Lock()

    def __call__(self, network: ModelFile, checkpoint: ModelFile) -> dict[str, Any]:
        """matched of total parts ('layers', 'vectors', 'widths'), and the names of those that are not used.

        Raises UnsupportedModel for files of different families, and what opening them raises.
        """
        # Late on purpose: the page answers before torch is there.
        from app.networks import Fitting, Wanted  # noqa: PLC0415

        with self._lock:
            if self._fitting is None:
                self._fitting = Fitting(self._tokenizer.encode)
        name = network.word if network.kind == EMBEDDING else network.stem
        file = network.identity
        report = self._fitting(
            Wanted(_WORDS[network.kind], name, file.path, file.size, file.mtime_ns), checkpoint.identity
        )
        return {
            "matched": report.matched,
            "total": report.total,
            "parts": report.parts,
            "unmatched": list(report.unmatched),
        }
