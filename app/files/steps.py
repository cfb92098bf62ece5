"""Steps: finished parts of a picture in work, so that a killed process loses none; gone once its job is over."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.files.picture_info import DECODER_ERRORS
from app.files.whole_file import write_whole

QUICK = 1
"""PNG's compression level."""
_NAME = re.compile(r"[A-Za-z0-9-]{1,80}")


@dataclass(frozen=True)
class Steps:
    """folder: holds one folder for each job."""

    folder: Path

    def read(self, job: str, image: int, name: str) -> Image.Image | None:
        """A step of a job's picture, None where there is none that is whole."""
        path = self._path(job, image, name)
        if not path.is_file():
            return None
        try:
            with Image.open(path, formats=("PNG",)) as step:
                step.load()
                return step
        except DECODER_ERRORS:  # damaged: it is made again
            return None

    def write(self, job: str, image: int, name: str, step: Image.Image) -> None:
        """Keeps a step; it is on the disk when this returns. Raises DiskFull, CannotWrite."""
        file = io.BytesIO()
        step.save(file, "PNG", compress_level=QUICK)
        write_whole(self._path(job, image, name), file.getvalue())

    def forget(self, job: str) -> None:
        """Removes the steps of a job that is over."""
        shutil.rmtree(self.folder / job, ignore_errors=True)

    def forget_all_but(self, jobs: Collection[str]) -> None:
        """Removes what jobs have left that are over."""
        for folder in self.folder.glob("*"):
            if folder.name not in jobs:
                shutil.rmtree(folder, ignore_errors=True)

    def _path(self, job: str, image: int, name: str) -> Path:
        if not (_NAME.fullmatch(job) and _NAME.fullmatch(name)):
            raise ValueError(f"a step is named by letters, digits and hyphens, not {name!r}")
        return self.folder / job / f"{image}-{name}.png"
