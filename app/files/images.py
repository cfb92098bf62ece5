"""Images: where finished pictures go, under A1111's names and numbers, and how they are saved whole.

Implements the `PictureFiles` that `app.jobs` asks for. Knows plans and pixels, not what reserves a name.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePath

from PIL import Image

from app.files.encoding import Encoding, encode
from app.files.file_names import PictureFacts, clean, file_name, folder_name
from app.files.folders import Folders
from app.files.whole_file import aside_of, cannot_write, write_whole
from app.schema.events import RowFinished
from app.schema.request import ImagePlan

TXT2IMG_FOLDER = "outputs/txt2img-images"
IMG2IMG_FOLDER = "outputs/img2img-images"
GRID_FOLDERS = {TXT2IMG_FOLDER: "outputs/txt2img-grids", IMG2IMG_FOLDER: "outputs/img2img-grids"}
EXTRAS_FOLDER = "outputs/extras-images"

_MOST_TRIES = 500
# What an infotext holds beside its two prompts, with room to spare.
_OTHER_ENTRIES = 4000


@dataclass(frozen=True)
class Naming:
    """How pictures are named; A1111's settings in brackets (a1111-facts 8: Saving images, Paths, Directories).

    folder: relative to the data folder, or absolute (outdir_*). by_folder: into a folder per `folder_pattern` below it
    (save_to_dirs, directories_filename_pattern). pattern: "" for A1111's default (samples_filename_pattern).
    numbered: a number stands first (save_images_add_number). text_file: the infotext beside it (save_txt).
    """

    folder: str = TXT2IMG_FOLDER
    by_folder: bool = True
    folder_pattern: str = "[date]"
    pattern: str = ""
    numbered: bool = True
    text_file: bool = False

    @property
    def file_pattern(self) -> str:
        """The pattern in force."""
        return self.pattern or ("[seed]" if self.by_folder else "[seed]-[prompt_spaces]")


class Numbers:
    """Counts on from the highest number in each folder; looks into a folder once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[tuple[Path, str], int] = {}

    def take(self, folder: Path, first: str = "") -> int:
        """The next number. first: what stands before the number in such names ('grid')."""
        with self._lock:
            key = folder, first
            number = self._next.get(key)
            if number is None:
                number = _highest(folder, first) + 1
            self._next[key] = number + 1
            return number


def _highest(folder: Path, first: str) -> int:
    """The highest number in the names of a folder, -1 when there is none."""
    numbered = re.compile(rf"{re.escape(first)}-(\d{{1,9}})" if first else r"(\d{1,9})(?!\d)")
    try:
        matches = (numbered.match(path.name) for path in folder.iterdir())
        return max((int(match[1]) for match in matches if match), default=-1)
    except OSError:
        return -1


@dataclass(frozen=True)
class Images:
    """Names and writes pictures below the data folder; paths go out relative to it, with forward slashes."""

    folders: Folders
    naming: Naming = field(default_factory=Naming)
    encoding: Encoding = field(default_factory=Encoding)
    numbers: Numbers = field(default_factory=Numbers)

    def names(self, plan: ImagePlan, finished: RowFinished) -> Iterator[str]:
        """Paths that nothing stands under yet, in the order of preference; at most 500. Raises CannotWrite."""
        facts = picture_facts(plan, finished)
        request = plan.resolved.request
        naming = self.naming if request.save_images else Naming(self._relative(self.folders.unsaved))
        below = folder_name(naming.folder_pattern, facts) if naming.by_folder else ""
        name = file_name(naming.file_pattern, facts)
        if request.source_names:
            # A batch gives its files back under their own names, in one folder.
            naming = replace(naming, numbered=False)
            below, name = "", clean(request.source_names[plan.image % len(request.source_names)])
        if request.output_folder:
            below = "/".join(clean(part) for part in request.output_folder.rstrip("/").split("/"))
        folder = PurePath(request.output_directory or naming.folder, below).as_posix()
        letters = len(request.prompt) + len(request.negative_prompt) + _OTHER_ENTRIES
        ending = self.encoding.format if self.encoding.fits(finished.width, finished.height, letters) else "png"
        for attempt in range(_MOST_TRIES):
            if naming.numbered or not name:
                number = f"{self.numbers.take(self.folders.data / folder):05}"
                stem = f"{number}-{name}" if name else number
            else:
                stem = f"{name}-{attempt}" if attempt else name
            path = f"{folder}/{stem}.{ending}"
            if not _taken(self.folders.data / path):
                yield path

    def write(self, path: str, finished: RowFinished, infotext: str) -> None:
        """Make the picture whole under a path that `names` gave.

        Raises FileExistsError when something stands there, DiskFull or CannotWrite.
        """
        picture = Image.frombytes("RGB", (finished.width, finished.height), finished.rgb)
        self.write_picture(self.folders.data / path, picture, infotext)

    def write_picture(self, path: Path, picture: Image.Image, infotext: str) -> None:
        """The same for any picture and place (a grid, an intermediate step); the ending decides the format.

        An infotext that the format cannot hold goes into a text file beside it.
        """
        if _taken(path):
            raise FileExistsError(str(path))
        encoding = replace(self.encoding, format=path.suffix[1:])
        fits = encoding.fits(*picture.size, len(infotext))
        write_whole(path, encode(picture, infotext if fits else "", encoding))
        if infotext and (self.naming.text_file or not fits):
            write_whole(path.with_suffix(".txt"), f"{infotext}\n".encode())

    def is_whole(self, path: str) -> bool:
        """Whether a picture stands under a reserved path; what was left half written beside it is cleared away.

        A file has its final name only once it is whole, so being there is enough, unless the disk lost its bytes.
        """
        file = self.folders.data / path
        with suppress(OSError):
            aside_of(file).unlink(missing_ok=True)
        try:
            if file.stat().st_size > 0:
                return True
            file.unlink()
        except OSError:
            pass
        return False

    def clear_unsaved(self, before: datetime) -> None:
        """Remove the pictures that were not to be saved and are older."""
        for file in [*self.folders.unsaved.rglob("*")]:
            with suppress(OSError):
                if file.is_file() and file.stat().st_mtime < before.timestamp():
                    file.unlink()

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folders.data).as_posix()


def _taken(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise cannot_write(path, error) from error


def picture_facts(plan: ImagePlan, finished: RowFinished, time: datetime | None = None) -> PictureFacts:
    """What the patterns may name of one picture."""
    resolved, request = plan.resolved, plan.resolved.request
    step = 0 if request.variation_strength > 0 else 1
    return PictureFacts(
        seed=plan.seed,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        styles=request.styles,
        seeds=[request.seed + step * image for image in range(request.image_count)],
        steps=request.steps,
        cfg_scale=request.cfg_scale,
        width=finished.width,
        height=finished.height,
        sampler=request.sampler,
        schedule=resolved.schedule_label,
        model_name=resolved.checkpoint_name,
        model_hash=(resolved.checkpoint.sha256 or "")[:10],
        vae_name=PurePath(resolved.vae.path).name if resolved.vae else "",
        clip_skip=request.clip_skip,
        batch_size=request.batch_size,
        batch_number=plan.image % request.batch_size + 1,
        number=plan.image + 1,
        user=plan.owner or None,
        image=finished.rgb,
        time=time or datetime.now(),
    )
