"""FaceShelf: the only owner of what restores faces; the network used last stays on the device, and its detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from app.engine.loading import require_unchanged
from app.engine.room import until_it_fits
from app.models import (
    FaceDetector,
    FaceRestorer,
    YuNet,
    load_face_restorer,
    with_faces_restored,
)
from app.schema.errors import OutOfMemory
from app.schema.request import FaceFiles, FileIdentity

Tell = Callable[[int, int], None]


class FaceShelf:
    """One thread. make_room: takes something else off the device, False when there is nothing left to take.

    load, open_detector: read the two files.
    """

    def __init__(
        self,
        device: torch.device,
        make_room: Callable[[], bool] = lambda: False,
        load: Callable[[Path, torch.device], FaceRestorer] = load_face_restorer,
        open_detector: Callable[[Path], FaceDetector] = YuNet,
    ) -> None:
        self._device = device
        self._make_room = make_room
        self._load = load
        self._open_detector = open_detector
        self._restorer: tuple[FileIdentity, FaceRestorer] | None = None
        self._detector: tuple[FileIdentity, FaceDetector] | None = None

    def restored(
        self, pixels: Tensor, files: FaceFiles, visibility: float, tell: Tell = lambda done, total: None
    ) -> tuple[Tensor, int]:
        """[3, H, W] uint8 with its faces restored, and how many there were, as `app.models.with_faces_restored`.

        Raises ModelNotFound and ModelChanged for files that are not what they were, OutOfMemory, and what the files
        deserve.
        """
        detector = self._detector_of(files.detector)
        short = OutOfMemory(
            f"The device has not enough memory for the face restorer {Path(files.restorer.path).name}.",
            field="face_restoration",
            hint="Close other programs that use the device, or start with --use-cpu all.",
        )

        def restore() -> tuple[Tensor, int]:
            return with_faces_restored(pixels, detector, self._restorer_of(files.restorer), visibility, tell)

        return until_it_fits(restore, self._make_room, short)

    def clear(self) -> None:
        """Gives the memory back."""
        self._restorer = self._detector = None

    def _restorer_of(self, file: FileIdentity) -> FaceRestorer:
        file = file.model_copy(update={"sha256": None})
        if self._restorer is None or self._restorer[0] != file:
            require_unchanged(file, "face_restoration")
            self._restorer = None  # two of them are never needed at once
            self._restorer = (file, self._load(Path(file.path), self._device))
        return self._restorer[1]

    def _detector_of(self, file: FileIdentity) -> FaceDetector:
        if self._detector is None or self._detector[0] != file:
            require_unchanged(file, "face_restoration")
            self._detector = (file, self._open_detector(Path(file.path)))
        return self._detector[1]
