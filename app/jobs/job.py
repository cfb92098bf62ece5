"""Job: one submitted request with all that became of it, and the version of its stored form.

A frozen value; what is stored is upgraded here by small pure functions before it is read.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.schema.errors import NewerVersion
from app.schema.events import ENDED, Failed, ImageReady, JobState
from app.schema.request import GenerationRequest, ResolvedRequest, parse_request

Document = dict[str, Any]
Upgrade = Callable[[Document], Document]

UPGRADES: tuple[Upgrade, ...] = ()
"""UPGRADES[n] takes a stored document of version n + 1 to version n + 2, and changes nothing in place."""
DOCUMENT_VERSION = len(UPGRADES) + 1

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True)
class Job:
    """One job as it stood when it was read.

    request: as submitted. resolved: as it is carried out. images: saved pictures in the order of saving.
    error: how it failed, or None. submitted, started, ended: seconds since 1970 (UTC), None while not yet.
    seconds: measured on the device so far.
    """

    id: str
    owner: str
    state: JobState
    request: GenerationRequest
    resolved: ResolvedRequest
    submitted: float
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    images: tuple[ImageReady, ...] = ()
    error: Failed | None = None

    @property
    def over(self) -> bool:
        """True when nothing more will come of it."""
        return self.state in ENDED


def new_job_id(now: float) -> str:
    """13 letters and digits that sort by time (milliseconds) and cannot be guessed from one another's."""
    milliseconds = round(now * 1000)
    time_part = "".join(_ALPHABET[milliseconds >> shift & 31] for shift in range(40, -1, -5))
    return time_part + "".join(secrets.choice(_ALPHABET) for _ in range(4))


def write_document(request: GenerationRequest, resolved: ResolvedRequest) -> str:
    """The stored form of a request and its resolution, of DOCUMENT_VERSION."""
    return f'{{"request":{request.model_dump_json()},"resolved":{resolved.model_dump_json()}}}'


def read_document(
    text: str, version: int, upgrades: Sequence[Upgrade] = UPGRADES
) -> tuple[GenerationRequest, ResolvedRequest]:
    """A request and its resolution from the stored form of any version up to this program's.

    Raises NewerVersion for a later one, ValueError for a text that was damaged.
    """
    if version > len(upgrades) + 1:
        raise NewerVersion(
            f"This job was stored by a newer Easel (version {version}; this one reads {len(upgrades) + 1}).",
            hint="Update Easel to see or run it.",
        )
    document: Document = json.loads(text)
    for upgrade in upgrades[version - 1 :]:
        document = upgrade(document)
    return parse_request(document["request"]), ResolvedRequest.model_validate(document["resolved"])
