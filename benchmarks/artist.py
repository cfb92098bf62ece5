"""Draws prompts with one checkpoint file through the product's engine, without a server; counts time and memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from app.extension_host import ExtensionHost
from app.files import CHECKPOINT, Blobs, Folders, Identity, ModelLibrary, recommended
from app.hooks import Registry
from app.launch.engine import Precision, make_engine
from app.schema.events import RowFailed, RowFinished
from app.schema.flags import LaunchOptions
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest

IN_FLIGHT = 8


class Artist:
    """Draws with the size, sampler and CFG that the file asks for; what was drawn once is not drawn again.

    file, sha256, settings: of the checkpoint. seconds: spent on pictures. memory: most bytes of the process meanwhile.
    """

    def __init__(self, path: Path, *, steps: int, device: str | None = None) -> None:
        """Raises SystemExit where there is no such checkpoint, and what the file's own header is at fault for."""
        if not path.is_file():
            raise SystemExit(f"There is no file {path}.")
        options = LaunchOptions(device=device)
        library = ModelLibrary(Folders.of(data_dir=path.parent, ckpt_dir=path.parent))
        entry = next((entry for entry in library.list(CHECKPOINT) if Path(entry.path).samefile(path)), None)
        if entry is None:
            raise SystemExit(f"{path.name} is no checkpoint.")
        entry.require_usable()
        identity = Identity.of(path)
        self.file = FileIdentity(path=identity.path, size=identity.size, mtime_ns=identity.mtime_ns)
        self.sha256 = library.hash(entry)
        self.settings: dict[str, Any] = {**recommended(entry), "steps": steps, "precision": Precision(options)("auto")}
        self.seconds = 0.0
        self.memory = 0
        self._engine = make_engine(options, ExtensionHost((), Registry()), Blobs(path.parent), lambda rows: None)
        self._drawn: dict[tuple[str, int], Image.Image] = {}
        library.close()

    @property
    def pictures(self) -> int:
        """Drawn so far."""
        return len(self._drawn)

    def draw(self, wanted: Iterable[tuple[str, int]]) -> list[Image.Image]:
        """A picture for each (prompt, seed). Raises SystemExit with the reason when one fails."""
        wanted = list(wanted)
        missing = [key for key in dict.fromkeys(wanted) if key not in self._drawn]
        began = time.monotonic()
        for first in range(0, len(missing), IN_FLIGHT):
            self._draw_together(missing[first : first + IN_FLIGHT])
        self.seconds += time.monotonic() - began
        return [self._drawn[key] for key in wanted]

    def _draw_together(self, keys: Sequence[tuple[str, int]]) -> None:
        """A job each, so that pictures share no model call: then each is what it is alone."""
        jobs = {f"job {number}": key for number, key in enumerate(keys)}
        for job, (prompt, seed) in jobs.items():
            self._engine.submit(self._plan(job, prompt, seed))
        process = psutil.Process()
        while not self._engine.idle:
            for event in self._engine.step():
                if isinstance(event, RowFailed):
                    raise SystemExit(f"{jobs[event.job]} cannot be drawn: {event.message}")
                if isinstance(event, RowFinished):
                    self._drawn[jobs[event.job]] = Image.frombytes("RGB", (event.width, event.height), event.rgb)
            self.memory = max(self.memory, process.memory_info().rss)

    def _plan(self, job: str, prompt: str, seed: int) -> ImagePlan:
        request = GenerationRequest(prompt=prompt, seed=seed, checkpoint=self.file.path, **self.settings)
        name = Path(self.file.path).stem
        resolved = ResolvedRequest(request=request, checkpoint=self.file, checkpoint_name=name)
        return ImagePlan(job, "benchmark", 0, 0, seed, 0, resolved)
