"""Room: what a training will write, part by part, so that a drive without room is told of before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.files.free_space import bytes_within, require_free
from app.models import LoadedModel
from app.schema.training import TrainingRequest
from app.training.data import Material, word_of
from app.training.optimizers import STATE_BYTES
from app.training.sample_prompts import sample_requests
from app.training.teacher import lessons_of

_SPARE = 1.1
_SNAPSHOTS_AT_ONCE = 3
"""Two that are kept, and the one being written."""
_PICTURE_BYTES = 2
"""Of a picture's pixel, as PNG."""


@dataclass(frozen=True)
class Room:
    """In bytes. file: what comes out, in its model folder. copies: files on the way and the finished one, before it is
    there. latents: encoded pictures. drawn: samples and pictures of ordinary ones."""

    file: int = 0
    snapshot: int = 0
    copies: int = 0
    latents: int = 0
    drawn: int = 0

    @property
    def run(self) -> int:
        """All that the run folder takes at most."""
        return int((_SNAPSHOTS_AT_ONCE * self.snapshot + self.copies + self.latents + self.drawn) * _SPARE)

    def require(self, folder: Path, destination: Path | None = None) -> None:
        """folder: of the run; what it holds already need not be free. Raises DiskFull."""
        wanted = {folder: max(0, self.run - bytes_within(folder))}
        if destination is not None:
            wanted[destination] = self.file
        require_free(wanted, "The training")


def room_of(
    request: TrainingRequest, material: Material, model: LoadedModel, parameters: int, file_bytes: int, steps: int
) -> Room:
    """parameters: numbers trained. steps: in all."""
    snapshot = parameters * (4 * (1 + bool(request.average)) + STATE_BYTES[request.optimizer][1])
    copies = 1 + bool(request.keep_best)
    if request.save_every:
        copies += min(request.keep_copies, (steps - 1) // request.save_every)
    side = model.family.pixels_per_latent
    pictures = (*material.pictures, *material.held_out, *material.class_pictures)
    cells = sum(one.placing.bucket.width * one.placing.bucket.height for one in pictures) // side**2
    drawn = material.class_missing + lessons_of(request)
    cells += drawn * (request.width * request.height) // side**2
    pixels = material.class_missing * request.width * request.height
    if request.sample_every:
        times = steps // request.sample_every + 2
        pixels += times * sum(one.width * one.height for one in sample_requests(request, word_of(request)))
    return Room(
        file=file_bytes,
        snapshot=snapshot,
        copies=copies * file_bytes,
        latents=cells * model.family.latent_channels * 4 * (1 + request.flip),
        drawn=pixels * _PICTURE_BYTES,
    )
