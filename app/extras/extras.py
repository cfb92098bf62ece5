"""Extras: runs over one picture or many, stored before they are answered, one picture after the other.

Enlarging and restoring faces are the engine's; all else happens on a thread of its own. Knows no page and no HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from app.extras.enlarging import enlarged
from app.extras.records import ExtrasRecords, ExtrasRun, Failure, Made, Source, begun_now
from app.extras.restoring import restored
from app.extras.saving import Places, Texts, encoded, texts_of, words_of
from app.extras.sizes import PostprocessingFacts, Size, enlarged_size, facts_of
from app.extras.training_pictures import training_pictures
from app.files import (
    Blobs,
    Encoding,
    Folders,
    ModelLibrary,
    NamedFaceRestorer,
    captioner_of,
    face_restoration_lacks,
    face_restorers,
    find_upscaler,
    open_picture,
    upscalers,
)
from app.jobs import Jobs, face_files_of, identity_of
from app.schema.choices import BUILT_IN, Choices
from app.schema.errors import EaselError, InvalidField, JobNotFound, NotServedYet, PictureNotFound
from app.schema.extras import ExtrasRequest
from app.schema.faces import GFPGAN, NO_FACE_FOUND
from app.schema.request import FaceFiles
from app.schema.settings import Settings

logger = logging.getLogger(__name__)

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp")
MOST_SOURCES = 10_000
MOST_DEATHS = 3
Tell = Callable[[str, str, int, int], None]
"""Is told what goes on ('Upscaling'), of what ('tiles'), how many are done, and how many there are."""


class Given(NamedTuple):
    """A picture file and what it is called."""

    data: bytes
    name: str = ""


class Worked(NamedTuple):
    """What became of one picture. captions: one for each result, none where none were asked for. notice: for people,
    "" where all went as it was wished."""

    pictures: list[Image.Image]
    facts: PostprocessingFacts
    texts: Texts
    captions: list[str]
    notice: str = ""


class Stopped(Exception):
    """Thrown into an enlargement that nobody waits for any more."""


class Extras:
    """Every method may be called from any thread, `start` and `close` once."""

    def __init__(
        self,
        jobs: Jobs,
        library: ModelLibrary,
        blobs: Blobs,
        folders: Folders,
        settings: Settings,
        records: ExtrasRecords,
        choices: Choices = BUILT_IN,
    ) -> None:
        self._jobs = jobs
        self._choices = choices
        self._library = library
        self._blobs = blobs
        self._data = folders.data
        self._models = folders.models
        self._settings = settings
        self._places = Places(folders.data)
        self._records = records
        self._bell = threading.Event()
        self._closing = False
        self._cancelled: set[str] = set()
        self._words: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="extras", daemon=True)

    def start(self) -> None:
        """Starts the thread; runs that a killed process left behind go on."""
        self._bell.set()
        self._thread.start()

    def close(self) -> None:
        """Ends; what is not done goes on at the next start. Call while the engine's thread still runs."""
        self._closing = True
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join()

    def upscalers(self) -> list[str]:
        """Names of those that may be chosen."""
        return [one.name for one in upscalers(self._library, self._choices.upscalers)]

    def face_restorers(self) -> list[NamedFaceRestorer]:
        """Those whose files are there."""
        return face_restorers(self._library)

    def face_restoration_lacks(self) -> str:
        """What has to be put where before faces can be restored, "" where nothing is lacking."""
        return face_restoration_lacks(self._library)

    def work(self, given: Given, request: ExtrasRequest, tell: Tell = lambda doing, parts, done, total: None) -> Worked:
        """One picture, now, nothing stored or saved. Raises InvalidImage, InvalidField, UnknownChoice, NotServedYet for
        faces without the files that restore them, and what the models deserve."""
        picture = open_picture(given.data, field="image")
        self._require_captioners(request)
        if request.enlarges:
            enlarged_size(picture.size, request)  # refused before the engine is asked
        face_files = self._face_files(request)

        def upscale(colours: Image.Image, name: str, size: Size) -> Image.Image:
            found = find_upscaler(self._library, name, self._choices.upscalers)
            file = identity_of(found.file) if found.file else None
            return self._jobs.ask(
                lambda engine: engine.enlarged(colours, found.name, file, *size, partial(told, "Upscaling", "tiles"))
            ).result()

        def restore(colours: Image.Image, visibility: float) -> tuple[Image.Image, int]:
            assert face_files is not None
            return self._jobs.ask(
                lambda engine: engine.faces_restored(
                    colours, face_files, visibility, partial(told, "Restoring faces", "faces")
                )
            ).result()

        def told(doing: str, parts: str, done: int, total: int) -> None:
            if self._closing:
                raise CancelledError
            tell(doing, parts, done, total)

        larger = enlarged(picture, request, upscale)
        notice = ""
        if face_files is not None:
            larger, faces = restored(larger, request, restore)
            notice = "" if faces else NO_FACE_FOUND
        made = training_pictures(larger, request)
        captions = [self._caption(one) for one in made] if request.captions else []
        return Worked(made, facts_of(picture.size, request), texts_of(given.data), captions, notice)

    def _face_files(self, request: ExtrasRequest) -> FaceFiles | None:
        if request.gfpgan_visibility <= 0:
            return None
        return face_files_of(self._library, GFPGAN, "gfpgan_visibility")[1]

    def _caption(self, picture: Image.Image) -> str:
        folder = captioner_of(self._models)
        return self._jobs.ask(lambda engine: engine.captioned(picture.convert("RGB"), folder)).result()

    def _require_captioners(self, request: ExtrasRequest) -> None:
        if "Deepbooru" in request.captions:
            raise NotServedYet("Deepbooru is not built in.", field="captions", hint="Choose BLIP.")
        if request.captions:
            captioner_of(self._models)

    def submit(self, sources: Sequence[Source], request: ExtrasRequest, owner: str, folder: str = "") -> ExtrasRun:
        """A run over stored pictures; it is on the disk when this returns.

        Raises InvalidField without a picture or with too many, UnknownChoice, NotServedYet, BlobNotFound, DiskFull,
        CannotWrite.
        """
        if not 1 <= len(sources) <= MOST_SOURCES:
            text = "There is no picture to work on." if not sources else f"At most {MOST_SOURCES:,} pictures at once."
            raise InvalidField(text, field="pictures")
        self._require_captioners(request)
        self._face_files(request)
        for name in (request.upscaler_1, request.upscaler_2):
            find_upscaler(self._library, name, self._choices.upscalers)
        for source in sources:
            if source.hash:
                self._blobs.require(source.hash, "pictures")
        run = ExtrasRun(
            id=self._records.new_id(),
            owner=owner,
            request=request,
            sources=tuple(sources),
            folder=folder,
            begun=begun_now(),
        )
        self._records.keep(run)
        self._bell.set()
        return run

    def get(self, id: str, owner: str | None = None) -> ExtrasRun:
        """Raises JobNotFound when there is none or it is someone else's."""
        run = self._records.get(id)
        if owner is not None and run.owner != owner:
            raise JobNotFound(f"There is no run of Extras '{id[:40]}'.")
        return run

    def history(self, owner: str | None, limit: int = 20) -> list[ExtrasRun]:
        """The newest first."""
        return [run for run in reversed(self._records.all()) if owner in (None, run.owner)][:limit]

    def progress(self, id: str) -> tuple[float, str]:
        """0 to 1 of the picture in work, and words on it."""
        with self._lock:
            return self._words.get(id, (0.0, ""))

    def cancel(self, id: str, owner: str | None = None) -> None:
        """Ends a run; pictures that are saved stay."""
        if not self.get(id, owner).over:
            self._cancelled.add(id)
            self._bell.set()

    def file(self, id: str, number: int, owner: str | None = None) -> Path:
        """The file of a result. Raises PictureNotFound."""
        run = self.get(id, owner)
        if 0 <= number < len(run.made):
            path = self._data / run.made[number].path
            if path.is_file():
                return path
        raise PictureNotFound(f"Run {id} of Extras has no picture {number}, or its file is gone.")

    def _run(self) -> None:
        while not self._closing:
            self._bell.wait()
            self._bell.clear()
            try:
                self._work_through()
            except Exception:
                logger.exception("A run of Extras could not go on; it is taken up again at the next")

    def _work_through(self) -> None:
        while not self._closing:
            waiting = [run for run in self._records.all() if not run.over]
            if not waiting:
                return self._records.forget_old()
            self._advance(waiting[0])

    def _advance(self, run: ExtrasRun) -> None:
        """One source, with what is written down before and after it so that a kill loses and doubles nothing."""
        if run.id in self._cancelled:
            return self._end(run, "cancelled")
        if run.next >= len(run.sources):
            return self._end(run, "done" if run.made else "failed")
        if run.reserved and all(self._places.is_whole(made.path) for made in run.reserved):
            return self._records.keep(_past(run, made=run.made + run.reserved))
        if run.deaths >= MOST_DEATHS:
            return self._fail(run, f"The program ended {MOST_DEATHS} times at this picture; it is left out.")
        run = run.model_copy(update={"state": "running", "deaths": run.deaths + 1, "reserved": ()})
        self._records.keep(run)
        try:
            self._make(run)
        except Stopped:
            self._end(run, "cancelled")
        except CancelledError:  # the program ends: this was no death
            self._records.keep(run.model_copy(update={"deaths": run.deaths - 1}))
        except EaselError as problem:
            self._fail(run, str(problem))
        except Exception as problem:
            logger.exception("Run %s of Extras failed at %s", run.id, run.sources[run.next].name)
            self._fail(run, f"{type(problem).__name__}: {problem}. The log holds more.")

    def _make(self, run: ExtrasRun) -> None:
        source = run.sources[run.next]
        self._tell(run, 0.0, f"Working on {source.name}")

        def tell(doing: str, parts: str, done: int, total: int) -> None:
            if run.id in self._cancelled:
                raise Stopped
            self._tell(run, done / max(total, 1), f"{doing}: {done} of {total} {parts}" if total > 1 else doing)

        worked = self.work(Given(self._bytes(source), source.name), run.request, tell)
        values = self._settings.values()
        encoding = Encoding(
            values.samples_format, values.jpeg_quality, values.webp_lossless, infotext=values.enable_pnginfo
        )
        sizes = [picture.size for picture in worked.pictures]
        paths = self._places.free(run.folder, Path(source.name).stem or "picture", sizes, values)
        reserved = tuple(
            Made(
                path=path,
                source=run.next,
                width=width,
                height=height,
                facts=words_of(worked.facts),
                notice=worked.notice,
            )
            for path, (width, height) in zip(paths, sizes, strict=True)
        )
        run = run.model_copy(update={"reserved": reserved})
        self._records.keep(run)
        for path, picture in zip(paths, worked.pictures, strict=True):
            self._places.write(path, encoded(picture, worked.texts, worked.facts, encoding))
        for path, caption in zip(paths, worked.captions, strict=False):
            self._places.write(Path(path).with_suffix(".txt").as_posix(), f"{caption}\n".encode())
        self._records.keep(_past(run, made=run.made + reserved))

    def _bytes(self, source: Source) -> bytes:
        if source.hash:
            return self._blobs.read(source.hash)
        try:
            return Path(source.path).read_bytes()
        except OSError as error:
            raise PictureNotFound(f"{source.name} cannot be read: {error.strerror}.") from error

    def _fail(self, run: ExtrasRun, message: str) -> None:
        failure = Failure(source=run.next, message=message)
        self._records.keep(_past(run, failures=(*run.failures, failure)))

    def _end(self, run: ExtrasRun, state: str) -> None:
        self._records.keep(run.model_copy(update={"state": state, "reserved": ()}))
        self._cancelled.discard(run.id)
        with self._lock:
            self._words.pop(run.id, None)

    def _tell(self, run: ExtrasRun, fraction: float, words: str) -> None:
        with self._lock:
            self._words[run.id] = (fraction, words)


def _past(run: ExtrasRun, **changes: object) -> ExtrasRun:
    """The run with its next source next."""
    return run.model_copy(update={"next": run.next + 1, "reserved": (), "deaths": 0, **changes})


def pictures_in(folder: Path) -> list[Source]:
    """The pictures of a folder on this machine, by name. Raises InvalidField when it cannot be listed."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    except OSError as error:
        raise InvalidField(f"The folder {folder} cannot be read: {error.strerror}.", field="folder") from error
    return [Source(name=file.name, path=str(file)) for file in files]
