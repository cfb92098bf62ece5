"""YuNet's answers become faces: at several sizes of the picture, each face once, the surest first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.models.face_alignment import TEMPLATE
from app.models.face_detector import LEAST_SCORE, Face, YuNet, distinct
from app.schema.errors import BrokenModelFile, ModelNotFound
from tests.models.yunet_stand_in import write_yunet

Array = np.ndarray
TWO = ((0.25, 0.5, 0.2, 0.95), (0.75, 0.5, 0.1, 0.9))
"""Middle of a face, its width (shares of the picture's width and height), score."""


def row(middle: tuple[float, float], width: float, score: float) -> list[float]:
    """One face as OpenCV documents it: box, eyes, nose, corners of the mouth, score."""
    x, y = middle
    marks = (TEMPLATE - 256) * (width / 256) + (x, y)
    return [x - width / 2, y - width / 2, width, width, *marks.ravel(), score]


class FakeNetwork:
    """Finds the same faces at every size from `least` pixels of their width on. sizes: of the pictures it saw."""

    def __init__(self, faces: Any = TWO, least: float = 0) -> None:
        self.faces, self.least = faces, least
        self.sizes: list[tuple[int, int]] = []
        self.pixels: list[Array] = []
        self.made: tuple[Any, ...] = ()

    def create(self, *arguments: Any) -> FakeNetwork:
        self.made = arguments
        return self

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.sizes.append(size)

    def detect(self, picture: Array) -> tuple[int, Array | None]:
        width, height = self.sizes[-1]
        assert picture.shape == (height, width, 3)
        self.pixels.append(picture[0, 0])
        rows = [
            row((x * width, y * height), share * width, score)
            for x, y, share, score in self.faces
            if share * width >= self.least
        ]
        return 1, np.array(rows, np.float32) if rows else None


def detector(monkeypatch: pytest.MonkeyPatch, folder: Path, network: FakeNetwork) -> YuNet:
    monkeypatch.setattr(cv2, "FaceDetectorYN", network)
    path = folder / "yunet 检测.onnx"
    path.write_bytes(b"weights")
    return YuNet(path)


def test_rows_become_faces_in_the_pictures_own_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = FakeNetwork()
    found = detector(monkeypatch, tmp_path, network)(np.full((1000, 2000, 3), (1, 2, 3), np.uint8))
    assert network.sizes == [(320, 160), (640, 320), (1280, 640)]
    assert [pixel.tolist() for pixel in network.pixels] == [[3, 2, 1]] * 3  # blue first, as OpenCV reads
    assert [face.score for face in found] == pytest.approx([0.95, 0.9])
    assert found[0].box == pytest.approx((300, 300, 400, 400), abs=0.01)
    expected = (TEMPLATE - 256) * (400 / 256) + (500, 500)
    assert np.allclose(found[0].points, expected, atol=0.01)


def test_the_file_is_handed_over_as_bytes_with_the_least_score(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = FakeNetwork()
    detector(monkeypatch, tmp_path, network)
    framework, data, _, _, score, *_ = network.made
    assert (framework, data.tobytes(), score) == ("onnx", b"weights", LEAST_SCORE)


def test_a_small_picture_is_looked_at_once_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = FakeNetwork()
    detector(monkeypatch, tmp_path, network)(np.zeros((200, 150, 3), np.uint8))
    assert network.sizes == [(150, 200)]


def test_a_face_that_is_seen_at_one_size_only_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = detector(monkeypatch, tmp_path, FakeNetwork([(0.5, 0.5, 0.02, 0.9)], 20))(
        np.zeros((1500, 3000, 3), np.uint8)
    )
    assert len(found) == 1


def test_a_picture_without_a_face_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert detector(monkeypatch, tmp_path, FakeNetwork([]))(np.zeros((64, 64, 3), np.uint8)) == []


def face(x: float, width: float, score: float) -> Face:
    values = row((x, 100), width, score)
    return Face(np.array(values[4:14]).reshape(5, 2), (*values[:2], *values[2:4]), score)  # type: ignore[arg-type]


def test_the_same_face_twice_counts_once_and_the_surer_wins() -> None:
    kept = distinct([face(100, 80, 0.85), face(104, 84, 0.95), face(300, 80, 0.9)])
    assert [one.score for one in kept] == [0.95, 0.9]


def test_a_face_of_a_few_pixels_is_left_alone() -> None:
    assert distinct([face(100, 8, 0.9)]) == []
    assert len(distinct([face(100, 24, 0.9)])) == 1


@pytest.mark.parametrize("data", [b"", b"no network", b"<html>404</html>" * 100])
def test_a_file_that_is_no_network_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "face_detection_yunet.onnx"
    path.write_bytes(data)
    with pytest.raises(BrokenModelFile, match=r"face_detection_yunet\.onnx is not a face detector"):
        YuNet(path)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"yunet\.onnx cannot be read"):
        YuNet(tmp_path / "yunet.onnx")


@pytest.mark.parametrize("sides", [(640, 640), ("height", "width")])
@pytest.mark.parametrize(("height", "width"), [(320, 320), (240, 320), (300, 150), (640, 500)])
def test_opencvs_own_detector_reads_the_file_and_takes_pictures_of_any_size(
    tmp_path: Path, sides: tuple[int | str, int | str], height: int, width: int
) -> None:
    marks = (TEMPLATE - 256) * 0.25 + 8
    detect = YuNet(write_yunet(tmp_path / "face_detection_yunet_2026may.onnx", marks, 64, sides))
    picture = np.zeros((height, width, 3), np.uint8)
    assert detect(picture) == []
    picture[112:128, 64:80] = 255
    [found] = [face for face in detect(picture) if face.box[2] < 70]
    assert found.score == pytest.approx(1, abs=0.01)
    assert found.box == pytest.approx((72 - 32, 120 - 32, 64, 64), abs=1)
    assert np.allclose(found.points - (64, 112), marks, atol=1)
