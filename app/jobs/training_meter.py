"""TrainingMeter: from the lines of a run's log to how far it is and how long it will take."""

from __future__ import annotations

from app.files.best_step import best_step, measured_in
from app.files.run_log import Entry
from app.schema.events import TrainingProgress

_WINDOW = 50
_PHASES = {"begun": "Starting", "paused": "Paused", "done": "Done", "made": "Done", "failed": "Failed"}


class TrainingMeter:
    """One training's figures. steps: in all."""

    def __init__(self, job: str, steps: int) -> None:
        self._job = job
        self._steps = steps
        self._phase = "Waiting"
        self._loss: float | None = None
        self._validation: float | None = None
        self._drift: float | None = None
        self._measures: list[Entry] = []
        self._rate: float | None = None
        self._memory: int | None = None
        self._begun: float | None = None
        self._times: list[tuple[float, int]] = []
        self.step = 0
        self.seconds = 0.0

    def heard(self, entry: Entry) -> TrainingProgress:
        """The figures after one more line."""
        match entry["kind"]:
            case "begun":
                self._begun = entry["at"]
                self._times = []
            case "prepared":
                self._steps, self.step = int(entry["steps"]), int(entry["step"])
            case "step":
                self.step = int(entry["step"])
                self._loss, self._rate = entry.get("loss"), entry.get("rate")
                self._memory = entry.get("memory", self._memory)
                self._times = [*self._times[-_WINDOW:], (entry["at"], self.step)]
                self._phase = "Training"
            case "validation":
                self._validation = entry.get("loss")
                self._measures.append(entry)
            case "drift":
                self._drift = entry.get("drift")
                self._measures.append(entry)
            case "phase":
                self._phase = entry["text"]
        self._phase = _PHASES.get(entry["kind"], self._phase)
        if self._begun is not None and entry["kind"] in ("step", "paused", "done", "failed"):
            self.seconds += max(0.0, entry["at"] - self._begun)
            self._begun = entry["at"]
        return self._now("running")

    def phase(self, words: str) -> TrainingProgress:
        """The figures with other words."""
        self._phase = words
        return self._now("running")

    def resting(self, state: str) -> TrainingProgress:
        """state: 'queued' or 'paused'."""
        self._phase = "Paused" if state == "paused" else "Waiting for the device"
        self._times = []
        return self._now(state)

    def _now(self, state: str) -> TrainingProgress:
        best = best_step(measured_in(self._measures))
        return TrainingProgress(
            job=self._job,
            state=state,
            phase=self._phase,
            step=self.step,
            steps=self._steps,
            loss=self._loss,
            validation=self._validation,
            drift=self._drift,
            best=best.step if best else None,
            best_reason=best.reason if best else "",
            rate=self._rate,
            eta=self._eta(),
            memory=self._memory,
        )

    def _eta(self) -> float | None:
        if len(self._times) < 2:
            return None
        (first_at, first), (last_at, last) = self._times[0], self._times[-1]
        return (self._steps - last) * (last_at - first_at) / (last - first) if last > first else None
