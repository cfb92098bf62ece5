"""Everything around jobs but the real engine, in one folder, with files in memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from app.jobs import Bus, DeviceLease, Inflight, Jobs, Store, Worker, Writer
from app.jobs.engine import BeforeGroup
from app.jobs.recovery import recover
from app.schema.errors import DiskFull
from app.schema.events import RowFinished
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest
from tests.jobs.fake_engine import FakeEngine


def request(**fields: object) -> GenerationRequest:
    """A small one."""
    return GenerationRequest.model_validate({"width": 16, "height": 8, "steps": 3, "seed": 7, **fields})


def resolve(request: GenerationRequest) -> ResolvedRequest:
    """As simple as can be: seeds -1 become 1000 and 2000."""
    seed = 1000 if request.seed == -1 else request.seed
    variation = 2000 if request.variation_seed == -1 else request.variation_seed
    return ResolvedRequest(
        request=request.model_copy(update={"seed": seed, "variation_seed": variation}),
        checkpoint=FileIdentity(path="models/formula.safetensors", size=1, mtime_ns=2, sha256="ab" * 32),
        checkpoint_name="formula",
        schedule_label=request.schedule,
    )


class MemoryFiles:
    """Pictures by path. room: how many files fit until the disk is full."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.infotexts: dict[str, str] = {}
        self.room = 1_000_000
        self.cleared: datetime | None = None

    def names(self, plan: ImagePlan, finished: RowFinished) -> Iterator[str]:
        for number in range(1000):
            yield f"outputs/{number:05d}-{plan.seed}.png"

    def write(self, path: str, finished: RowFinished, infotext: str) -> None:
        if path in self.files:
            raise FileExistsError(path)
        if self.room <= 0:
            raise DiskFull("No room is left.")
        self.room -= 1
        self.files[path] = finished.rgb
        self.infotexts[path] = infotext

    def clear_unsaved(self, before: datetime) -> None:
        self.cleared = before

    def is_whole(self, path: str) -> bool:
        return path in self.files


class Workplace:
    """Built as `launch` builds it, and again over the same folder after `kill`."""

    def __init__(
        self,
        folder: Path,
        make_engine: Callable[[BeforeGroup], FakeEngine] = FakeEngine,
        most_owners: int = 4,
        lease: DeviceLease | None = None,
    ) -> None:
        self.folder = folder
        self.files = MemoryFiles()
        self.kept: dict[str, bytes] = {}
        self.engines: list[FakeEngine] = []
        self.make_engine = make_engine
        self.most_owners = most_owners
        self.lease = lease
        self.build()

    def build(self) -> None:
        self.bus = Bus()
        self.store = Store(self.folder / "jobs.sqlite3", self.bus.publish)
        self.inflight = Inflight(self.folder / "inflight")
        self.writer = Writer(self.store, self.files, keep=self._keep)
        self.worker = Worker(
            self.store,
            self.bus,
            self.writer,
            self.inflight,
            self._engine,
            lease=self.lease,
            most_owners=self.most_owners,
        )
        self.jobs = Jobs(self.folder, self.store, self.bus, self.worker, resolve)
        recover(self.store, self.inflight, self.files.is_whole)

    def restart(self) -> None:
        """What a new process does over the folder that another left."""
        self.store.close()
        self.build()

    def store_again(self) -> Store:
        """The store of a place that was closed, to look into."""
        return Store(self.folder / "jobs.sqlite3")

    def close(self) -> None:
        self.worker.close()
        self.store.close()

    def _keep(self, finished: RowFinished) -> str:
        digest = hashlib.sha256(finished.rgb).hexdigest()
        self.kept[digest] = finished.rgb
        return digest

    def _engine(self, before_group: BeforeGroup) -> FakeEngine:
        engine = self.make_engine(before_group)
        self.engines.append(engine)
        return engine


class Gate(FakeEngine):
    """A fake engine whose steps wait to be let through one by one."""

    def __init__(
        self, before_group: BeforeGroup = lambda rows: None, open_for_good: threading.Event | None = None
    ) -> None:
        super().__init__(before_group)
        self.permits = threading.Semaphore(0)
        self.open_for_good = open_for_good or threading.Event()

    def step(self):  # type: ignore[no-untyped-def]
        while not self.open_for_good.is_set() and not self.permits.acquire(timeout=0.02):
            pass
        return super().step()


def engine_of(place: Workplace) -> Gate:
    """The gate of a workplace that has one, once it is made."""
    while not place.engines:
        time.sleep(0.001)
    engine = place.engines[-1]
    assert isinstance(engine, Gate)
    return engine
