"""Fitting: how much of a network's file a checkpoint would use, told from headers before anything is loaded.

The weights of the checkpoint are not read; of a network only the few numbers that matching asks for.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from app.files import Identity
from app.models.model import LoadedModel
from app.models.outline import outline_checkpoint
from app.networks.network import Report, Wanted
from app.networks.open import Tokenise, open_network, require_family

_MOST_OUTLINES = 4


class Fitting:
    """tokenise: as of `open_network`. Keeps the outlines of the checkpoints that were asked for last. Any thread."""

    def __init__(self, tokenise: Tokenise) -> None:
        self._tokenise = tokenise
        self._outlines: OrderedDict[Identity, LoadedModel] = OrderedDict()
        self._lock = Lock()

    def __call__(self, wanted: Wanted, checkpoint: Identity) -> Report:
        """Raises UnsupportedModel for a network of another family, and what opening either of the files raises."""
        with self._lock:
            outline = self._outline(checkpoint)
            network = open_network(wanted, self._tokenise)[0]
            require_family(network.name, network.family, outline)
            return network.report(outline)

    def _outline(self, checkpoint: Identity) -> LoadedModel:
        if checkpoint not in self._outlines:
            self._outlines[checkpoint] = outline_checkpoint(checkpoint.path, needs_vae=False)
        self._outlines.move_to_end(checkpoint)
        while len(self._outlines) > _MOST_OUTLINES:
            self._outlines.popitem(last=False)
        return self._outlines[checkpoint]
