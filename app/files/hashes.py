"""Hashes: sha256, A1111's legacy and addnet hashes of model files, remembered by path, size and time.

Computes on demand, in the caller's thread or in one of its own; knows nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

from app.files.contents import Content, content_of
from app.files.index import FileIndex
from app.files.model_file import Identity, ModelFile
from app.schema.errors import BrokenModelFile, ModelChanged

SHA256 = "sha256"
ADDNET = "addnet"
LEGACY = "legacy"

_CHUNK = 1 << 20
_LEGACY_BEGIN, _LEGACY_LENGTH = 0x100000, 0x10000

Cancelled = Callable[[], bool]


def sha256_of(path: Path, *, begin: int = 0, cancelled: Cancelled | None = None) -> str:
    """Hex sha256 of a file from byte `begin` on. Raises OSError, and CancelledError once `cancelled()` is true."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        while count := file.readinto(buffer):
            if cancelled is not None and cancelled():
                raise CancelledError
            digest.update(buffer[:count])
    return digest.hexdigest()


def addnet_hash(path: Path, *, cancelled: Cancelled | None = None) -> str:
    """Hex sha256 of a safetensors file's weights alone, of any other file as a whole (kohya's 'addnet' hash).

    It stays the same when metadata are edited; infotexts print its first 12 digits for LoRAs.
    """
    with path.open("rb") as file:
        first = file.read(4096)
    safetensors = content_of(first) is Content.SAFETENSORS
    return sha256_of(path, begin=8 + int.from_bytes(first[:8], "little") if safetensors else 0, cancelled=cancelled)


def legacy_hash(path: Path) -> str:
    """A1111's first hash: 8 hex digits of the sha256 of 64 KiB at offset 1 MiB; "" for a file that ends before."""
    with path.open("rb") as file:
        file.seek(_LEGACY_BEGIN)
        part = file.read(_LEGACY_LENGTH)
    return hashlib.sha256(part).hexdigest()[:8] if part else ""


def folder_hash(path: Path, *, cancelled: Cancelled | None = None) -> str:
    """Hex sha256 of a diffusers folder: of its files' names and hashes, two levels deep, in the order of names."""
    files = sorted(file for file in (*path.glob("*"), *path.glob("*/*")) if file.is_file())
    lines = (f"{file.relative_to(path).as_posix()} {sha256_of(file, cancelled=cancelled)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class Hashes:
    """What is known of the files' hashes, and one thread that finds out more."""

    def __init__(self, index: FileIndex) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._known: dict[tuple[Identity, str], str] = {}
        self._index_read = False
        self._at_work: dict[tuple[Identity, str], threading.Lock] = {}
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hashes")

    @property
    def known(self) -> Mapping[tuple[Identity, str], str]:
        """(file, algorithm) -> hex digits."""
        with self._lock:
            if not self._index_read:
                self._known = {**self._index.hashes(), **self._known}
                self._index_read = True
            return self._known

    def compute(self, file: ModelFile, algorithm: str = SHA256, cancelled: Cancelled | None = None) -> str:
        """The hash of the file as the library listed it, from memory or by reading it whole.

        Raises ModelChanged when the file is not what was listed, BrokenModelFile when it cannot be read,
        CancelledError once `cancelled()` is true.
        """
        key = file.identity, algorithm
        known = self.known.get(key)
        if known is not None:
            return known
        # Who asks for what another thread is reading already waits for it: the file is read once.
        with self._at_work.setdefault(key, threading.Lock()):
            try:
                return self.known.get(key) or self._read(file, algorithm, cancelled)
            finally:
                self._at_work.pop(key, None)

    def _read(self, file: ModelFile, algorithm: str, cancelled: Cancelled | None) -> str:
        try:
            value = _computed(file, algorithm, cancelled)
            changed = not file.folder and Identity.of(file.path) != file.identity
        except FileNotFoundError:
            changed = True
        except OSError as error:
            raise BrokenModelFile(f"{file.name} cannot be read: {error.strerror or error}.") from error
        if changed:
            raise ModelChanged(
                f"{file.name} was replaced or removed while it was in use.",
                hint="Refresh the list and choose it again.",
            )
        self.remember({file.identity: value}, algorithm)
        return value

    def later(self, task: Callable[[Cancelled], str]) -> Future[str]:
        """Run a task in the background, one after the other; the answer's `cancel()` drops what has not begun.

        The task is given a function that turns true when the program ends.
        """
        return self._thread.submit(task, self._closing.is_set)

    def remember(self, values: Mapping[Identity, str], algorithm: str) -> None:
        """Keep hashes that are known from elsewhere (a download that was checked, a file just written)."""
        with self._lock:
            self._known.update({(file, algorithm): value for file, value in values.items()})
        self._index.remember_hashes(values, algorithm)

    def close(self) -> None:
        """Stop the thread, in the middle of a file if need be."""
        self._closing.set()
        self._thread.shutdown(wait=True, cancel_futures=True)


def _computed(file: ModelFile, algorithm: str, cancelled: Cancelled | None) -> str:
    if file.folder:
        return folder_hash(file.path, cancelled=cancelled)
    if algorithm == LEGACY:
        return legacy_hash(file.path)
    if algorithm == ADDNET:
        return addnet_hash(file.path, cancelled=cancelled)
    return sha256_of(file.path, cancelled=cancelled)
