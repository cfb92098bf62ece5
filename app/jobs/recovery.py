"""Recovery: what an interrupted process left behind is put in order, before anything new begins.

Reads the marker, the reservations and the running jobs; afterwards every job is queued or has ended.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.jobs.expand import expand
from app.jobs.inflight import Inflight
from app.jobs.store import Store
from app.schema.errors import Quarantined
from app.schema.events import Failed, Notice

logger = logging.getLogger(__name__)

MOST_DEATHS = 3
MOST_DEATHS_LOADING = 20
"""Loading takes so long that many an innocent end falls into it, unless memory is known to be the cause."""
LOG_LINES = 20


def recover(store: Store, inflight: Inflight, is_whole: Callable[[str], bool], log_file: Path | None = None) -> None:
    """Call once, before the worker starts.

    is_whole: whether a picture stands under a path relative to the data folder; it may clear away what does not.
    log_file: its last lines are shown with a job that is not tried again.
    """
    for reserved in store.reserved():
        if is_whole(reserved.path):
            store.settle(reserved.job, reserved.image, "saved", ready=reserved.ready)
        else:
            store.give_back(reserved.job, reserved.image)
    _lay_deaths(store, inflight, log_file)
    for id in [entry.id for entry in store.queue() if entry.state == "running"]:
        stopped = store.stop_of(id)
        if stopped or _all_settled(store, id):
            store.finish(id)
        else:
            store.requeue(id)
            store.notice(Notice(job=id, code="resumed", text="Easel was restarted; the job goes on where it was."))


def _lay_deaths(store: Store, inflight: Inflight, log_file: Path | None) -> None:
    """Counts the death of the last process against the jobs that ran in it, and ends those that killed too often."""
    rows, loading, out_of_memory = inflight.left_over()
    inflight.clear()
    places: dict[str, tuple[int, int]] = {}
    for job, image, done in rows:
        places[job] = min(places.get(job, (image, done)), (image, done))
    for job, (image, done) in places.items():
        place = "loading" if loading else f"{image}:{done}"
        deaths = store.count_death(job, place)
        logger.warning("The last process ended in job %s at %s (%d in a row)", job, place, deaths)
        if deaths < (MOST_DEATHS_LOADING if loading and not out_of_memory else MOST_DEATHS):
            continue
        where = "while it loaded the model" if loading else f"at picture {image + 1}, call {done + 1}"
        cause = " for want of memory" if out_of_memory else ""
        error = Quarantined(
            f"The program ended {deaths} times in a row{cause} {where} of this job, so it is not tried again.",
            hint=_last_lines(log_file),
        )
        store.end(job, Failed(job=job, code=error.code, message=str(error)))


def _all_settled(store: Store, id: str) -> bool:
    """Whether only the job's last event is missing. An unreadable job counts as not settled: the worker says why."""
    try:
        job = store.get(id)
    except Exception:
        logger.exception("Job %s cannot be read", id)
        return False
    return not expand(id, job.owner, job.resolved, store.settled(id))


def _last_lines(log_file: Path | None) -> str:
    if log_file is None or not log_file.is_file():
        return "The log says more."
    with log_file.open(encoding="utf-8", errors="replace") as file:
        lines = deque(file, maxlen=LOG_LINES)
    return "Last lines of the log:\n" + "".join(lines).rstrip()
