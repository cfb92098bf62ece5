"""Progress: how far a job is, told at most ten times a second.

Pure bookkeeping of one job; owned by the worker's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from app.schema.events import Loading, Progress, RowAdvanced

INTERVAL = 0.1


class ProgressMeter:
    """Turns what the engine says of a job's pictures into Progress events.

    images: pictures of the job. ended: those of an earlier process that need no work any more.
    """

    def __init__(
        self, job: str, images: int, steps: int, ended: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._job = job
        self._images = images
        self._steps = steps
        self._ended = ended
        self._clock = clock
        self._shares: dict[int, float] = {}
        self._from: tuple[float, float] | None = None
        self._told_at = float("-inf")
        self._latest: Progress | None = None

    def waiting(self, phase: str, loading: Loading | None = None) -> Progress:
        """Nothing has advanced, but there are words for why. loading: the model that it waits for."""
        step = self._latest.step if self._latest else 0
        return self._progress(min(self._ended, self._images - 1), step, None, phase, loading)

    def advanced(self, event: RowAdvanced) -> Progress | None:
        """After one model call; None when the last one was told just now."""
        now = self._clock()
        self._steps = event.steps  # a further pass may have a number of its own
        self._shares[event.image] = event.call / max(event.calls, event.call, 1)
        if self._from is None:
            self._from = (now, self._share())
        if now - self._told_at < INTERVAL and event.call < event.calls:
            return None
        self._told_at = now
        phase = "Sampling" if event.call < event.calls else "Decoding"
        return self._progress(event.image, event.step, self._seconds_left(now), phase)

    def finished(self, image: int) -> Progress:
        """A picture needs no more work of the device."""
        self._shares.pop(image, None)
        self._ended += 1
        step = self._latest.step if self._latest else 0
        return self._progress(image, step, self._seconds_left(self._clock()), "Saving")

    def _share(self) -> float:
        return min((self._ended + sum(self._shares.values())) / self._images, 1.0)

    def _seconds_left(self, now: float) -> float | None:
        if self._from is None:
            return None
        since, share_then = self._from
        share = self._share()
        if share <= share_then:
            return None
        return (now - since) * (1 - share) / (share - share_then)

    def _progress(
        self, image: int, step: int, eta: float | None, phase: str, loading: Loading | None = None
    ) -> Progress:
        self._latest = Progress(
            job=self._job,
            progress=self._share(),
            image=image,
            images=self._images,
            step=step,
            steps=self._steps,
            eta=eta,
            phase=phase,
            loading=loading,
        )
        return self._latest
