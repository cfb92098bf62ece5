"""What restores faces is kept while it is used, and makes room when the device is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.engine import FaceShelf
from app.models import Face
from app.models.face_alignment import TEMPLATE
from app.recipes import Picture, Recipe, RestoreFaces, Tools
from app.schema.errors import ModelChanged, ModelNotFound, OutOfMemory
from app.schema.events import ModelLoading, RowFinished
from app.schema.request import FaceFiles, FileIdentity, ImagePlan
from tests.engine.formula import formula_engine, image_plans, run_to_end

CPU = torch.device("cpu")
PIXELS = torch.full((3, 128, 128), 100, dtype=torch.uint8)
FACE = Face((TEMPLATE - 256) * 0.2 + 64, (40, 40, 48, 48), 0.9)


def identity(path: Path) -> FileIdentity:
    status = path.stat()
    return FileIdentity(path=str(path), size=status.st_size, mtime_ns=status.st_mtime_ns)


@pytest.fixture
def files(tmp_path: Path) -> FaceFiles:
    for name in ("GFPGANv1.4.pth", "yunet.onnx"):
        (tmp_path / name).write_bytes(b"weights")
    return FaceFiles(restorer=identity(tmp_path / "GFPGANv1.4.pth"), detector=identity(tmp_path / "yunet.onnx"))


class Shelf(FaceShelf):
    """Draws every face white, and runs out of memory `full` times. read: the files that were opened."""

    def __init__(self, full: int = 0, rooms: int = 0) -> None:
        self.read: list[str] = []
        self.full, self.rooms = full, rooms
        super().__init__(CPU, self._room, self._open, self._eye)

    def _room(self) -> bool:
        self.rooms -= 1
        return self.rooms >= 0

    def _open(self, path: Path, device: torch.device) -> Any:
        self.read.append(path.name)
        return self._white

    def _eye(self, path: Path) -> Any:
        self.read.append(path.name)
        return lambda picture: [FACE]

    def _white(self, face: np.ndarray) -> np.ndarray:
        if self.full:
            self.full -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.full_like(face, 255)


def test_both_files_are_read_once_and_again_after_the_memory_was_given_back(files: FaceFiles) -> None:
    shelf = Shelf()
    for _ in range(2):
        pixels, faces = shelf.restored(PIXELS, files, 1.0)
        assert faces == 1
        assert (pixels[:, 64, 64] == 255).all()
    hashed = files.model_copy(update={"restorer": files.restorer.model_copy(update={"sha256": "0" * 64})})
    shelf.restored(PIXELS, hashed, 1.0)
    assert shelf.read == ["yunet.onnx", "GFPGANv1.4.pth"]
    shelf.clear()
    shelf.restored(PIXELS, files, 1.0)
    assert len(shelf.read) == 4


def test_a_full_device_is_made_room_on(files: FaceFiles) -> None:
    shelf = Shelf(full=2, rooms=2)
    assert shelf.restored(PIXELS, files, 1.0)[1] == 1
    assert shelf.rooms == 0


def test_a_device_that_stays_full_is_told_of(files: FaceFiles) -> None:
    with pytest.raises(OutOfMemory, match=r"not enough memory for the face restorer GFPGANv1\.4\.pth"):
        Shelf(full=9, rooms=1).restored(PIXELS, files, 1.0)


@pytest.mark.parametrize("name", ["GFPGANv1.4.pth", "yunet.onnx"])
def test_a_file_that_was_replaced_or_removed_meanwhile_is_refused(files: FaceFiles, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"other weights")
    with pytest.raises(ModelChanged, match=name):
        Shelf().restored(PIXELS, files, 1.0)
    (tmp_path / name).unlink()
    with pytest.raises(ModelNotFound, match=name):
        Shelf().restored(PIXELS, files, 1.0)


class Restoring(Shelf):
    """Finds a face in the pictures of one prompt only."""

    def restored(self, pixels: torch.Tensor, files: FaceFiles, visibility: float, tell: Any = None) -> Any:
        if int(pixels.max()) < 20:
            return pixels, 0
        tell(0, 2)
        tell(2, 2)
        return torch.full_like(pixels, 255), 2


def test_the_engine_restores_a_recipes_picture_and_says_where_there_is_no_face(files: FaceFiles) -> None:
    def recipe(image: ImagePlan, tools: Tools) -> Recipe:
        level = 100 if image.resolved.request.prompt == "a face" else 10
        pixels = yield RestoreFaces(torch.full((3, 8, 8), level, dtype=torch.uint8), files, 1.0)
        return Picture(pixels, False)

    engine, _, _ = formula_engine(recipe=recipe, faces=Restoring())
    told: list[str] = []
    engine.listen(lambda event: told.append(event.phase) if isinstance(event, ModelLoading) else None)
    for number, prompt in enumerate(("a face", "a tree")):
        for image in image_plans(f"job{number}", prompt=prompt):
            engine.submit(image)
    events = [event for event in run_to_end(engine) if isinstance(event, RowFinished)]
    made = {event.job: event for event in events}
    assert made["job0"].rgb == b"\xff" * 192
    assert made["job1"].rgb == b"\x0a" * 192
    assert made["job0"].notices == ()
    assert made["job1"].notices == (("no_face", "No face was found; the picture stays as it is."),)
    assert told[-1] == "Restoring faces: 2 of 2 faces"
