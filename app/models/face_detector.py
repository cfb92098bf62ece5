"""Face detector: where the faces of a picture are, told by OpenCV's YuNet at several sizes of the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from app.schema.errors import BrokenModelFile, ModelNotFound

Array = np.ndarray

SIDES = (320, 640, 1280)
"""Longest sides in pixels at which a picture is looked at: the detector sees faces of about 10 to 300 pixels."""
LEAST_SCORE = 0.8
SAME_FACE = 0.3
"""Share of two boxes' joint area that they have in common from which on they are one face."""
MOST_FACES = 5000
LEAST_BETWEEN_EYES = 5.0
"""Pixels: a smaller face has nothing to be restored from."""


class Face(NamedTuple):
    """One face. points: [5, 2] of eyes, nose and corners of the mouth, left before right as seen; box: x, y, width,
    height; all in pixels. score: 0 to 1."""

    points: Array
    box: tuple[float, float, float, float]
    score: float


class FaceDetector(Protocol):
    """Finds faces."""

    def __call__(self, picture: Array) -> list[Face]:
        """Of a picture [H, W, 3] uint8 RGB, the surest first."""
        ...


class YuNet:
    """A file of OpenCV's model zoo. One thread. Raises ModelNotFound, BrokenModelFile."""

    def __init__(self, path: Path) -> None:
        try:
            data = np.fromfile(path, dtype=np.uint8)
        except OSError as error:
            raise ModelNotFound(f"The face detector {path.name} cannot be read: {error.strerror}.") from error
        try:
            # As bytes, since OpenCV opens no file whose name has letters beyond the system's own.
            self._network: Any = cv2.FaceDetectorYN.create(
                "onnx", data, np.empty(0, np.uint8), (SIDES[0], SIDES[0]), LEAST_SCORE, SAME_FACE, MOST_FACES
            )
        except cv2.error as error:
            raise _broken(path) from error
        self._path = path

    def __call__(self, picture: Array) -> list[Face]:
        """As in `FaceDetector`. Raises BrokenModelFile where the file is another network."""
        longest = max(picture.shape[:2])
        sides = dict.fromkeys(min(side, longest) for side in SIDES)
        found = [face for side in sides for face in self._at(picture, side / longest)]
        return distinct(found)

    def _at(self, picture: Array, factor: float) -> list[Face]:
        height, width = picture.shape[:2]
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if size != (width, height) else picture
        try:
            self._network.setInputSize(size)
            _, rows = self._network.detect(np.ascontiguousarray(small[..., ::-1]))
        except cv2.error as error:
            raise _broken(self._path) from error
        return [_face(row, (width / size[0], height / size[1])) for row in (() if rows is None else rows)]


def distinct(faces: list[Face]) -> list[Face]:
    """Each face once, the surest first, without those that are too small to be restored."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        apart = float(np.hypot(*(face.points[1] - face.points[0])))
        if apart >= LEAST_BETWEEN_EYES and all(_overlap(face, other) < SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _face(row: Array, factors: tuple[float, float]) -> Face:
    """x, y, width, height, then five points in the order of `Face`, then the score (OpenCV's reference)."""
    values = row.astype(np.float64)
    pairs = values[:14].reshape(7, 2) * factors
    (x, y), (width, height) = pairs[:2].tolist()
    return Face(pairs[2:], (x, y, width, height), float(values[14]))


def _overlap(one: Face, other: Face) -> float:
    (left, top, width, height), (x, y, wide, high) = one.box, other.box
    across = max(min(left + width, x + wide) - max(left, x), 0)
    down = max(min(top + height, y + high) - max(top, y), 0)
    common = across * down
    return common / max(width * height + wide * high - common, 1e-9)


def _broken(path: Path) -> BrokenModelFile:
    return BrokenModelFile(
        f"{path.name} is not a face detector that OpenCV can run.",
        hint="Fetch face_detection_yunet_2026may.onnx of OpenCV's model zoo again; it has about 230 kB.",
    )
