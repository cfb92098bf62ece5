"""Face restorer: GFPGAN from its file draws faces anew, and each face of a picture is cut out, drawn and put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from app.models.face_alignment import alignment, cut_out, put_back
from app.models.face_detector import FaceDetector
from app.models.spandrel_file import spandrel_network
from app.schema.errors import NotFiniteResult, UnsupportedModel

Array = np.ndarray
Tell = Callable[[int, int], None]
"""Is told faces done and faces in all."""


class FaceRestorer(Protocol):
    """Draws one face anew."""

    def __call__(self, face: Array) -> Array:
        """[512, 512, 3] uint8 RGB, aligned to the template of `app.models.face_alignment` -> the same, restored."""
        ...


class Gfpgan:
    """The network of versions 1.2 to 1.4, by Wang et al. 2021. One thread."""

    def __init__(self, descriptor: Any, name: str) -> None:
        self._network = descriptor.model
        self._device, self._dtype = descriptor.device, descriptor.dtype
        self._name = name

    def __call__(self, face: Array) -> Array:
        """As in `FaceRestorer`; the same face comes out the same each time. Raises NotFiniteResult."""
        with torch.inference_mode():
            pixels = torch.from_numpy(face).to(self._device, self._dtype).permute(2, 0, 1)[None]
            # The noise that lies in the file: drawn anew, no picture could be made again.
            drawn, _ = self._network(pixels / 127.5 - 1, return_rgb=False, randomize_noise=False)
            if not bool(torch.isfinite(drawn).all()):
                raise NotFiniteResult(
                    f"The face restorer {self._name} gave values that are not numbers.", hint="Its file is broken."
                )
            levels = ((drawn[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()
        return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())


def load_face_restorer(path: Path, device: torch.device) -> Gfpgan:
    """GFPGAN in float32. Raises UnsupportedModel for a file that holds another network, and what
    `spandrel_network` does."""
    unknown = UnsupportedModel(
        f"{path.name} is no GFPGAN model.", field="model", hint="GFPGAN of versions 1.2, 1.3 and 1.4 is read."
    )
    descriptor = spandrel_network(path, device, "a GFPGAN model", unknown)
    if descriptor.architecture.id != "GFPGAN":
        raise unknown
    return Gfpgan(descriptor, path.name)


def with_faces_restored(
    pixels: Tensor,
    detector: FaceDetector,
    restorer: FaceRestorer,
    visibility: float,
    tell: Tell = lambda done, total: None,
) -> tuple[Tensor, int]:
    """[3, H, W] uint8 with its faces drawn anew, and how many there were; without any the same pixels.

    visibility: 0 to 1, how much of the new faces shows.
    """
    picture = pixels.permute(1, 2, 0).contiguous().numpy()
    faces = detector(picture)
    if not faces or visibility <= 0:
        return pixels, len(faces)
    result = picture.copy()
    for number, face in enumerate(faces):
        tell(number, len(faces))
        matrix = alignment(face.points)
        put_back(result, restorer(cut_out(picture, matrix)), matrix, visibility)
    tell(len(faces), len(faces))
    return torch.from_numpy(result).permute(2, 0, 1).contiguous(), len(faces)
