"""/api/extensions/...: installing, updating and removing extensions, for the administrator who proves it once more."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.access import Access, Caller, caller_of
from app.schema.errors import Forbidden, InvalidField

TheCaller = Annotated[Caller, Depends(caller_of)]
Word = Annotated[str, Field(max_length=200)]
CONFIRMED_SECONDS = 300.0
"""How long a confirmation counts."""
LARGEST_ARCHIVE = 100 << 20


class Installs(Protocol):
    """What is asked of the installer; see `app.installing.Installer`."""

    refusal: str

    @property
    def now(self) -> Any: ...

    def waiting(self) -> Mapping[str, str]: ...

    def from_address(self, address: str, branch: str = "", name: str = "") -> str: ...

    def from_archive(self, archive: Path, name: str) -> str: ...

    def update(self, name: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def undo(self, name: str) -> None: ...

    def stop(self) -> None: ...

    def aside(self) -> Path: ...


class Password(BaseModel):
    """password: of the caller's login; "" where there are no logins."""

    model_config = ConfigDict(extra="forbid")

    password: Annotated[str, Field(max_length=1000, repr=False)] = ""


class Confirmed(BaseModel):
    """confirmation: from POST /api/extensions/confirmations."""

    model_config = ConfigDict(extra="forbid")

    confirmation: Word


class Source(Confirmed):
    """address: of a git repository. branch: "" for its usual one. name: "" for the repository's."""

    address: Annotated[str, Field(max_length=2000)]
    branch: Word = ""
    name: Word = ""


class _Given(NamedTuple):
    owner: str
    until: float


class Confirmations:
    """Words that say that a caller has just proved who they are. Any thread."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._given: dict[str, _Given] = {}
        self._lock = threading.Lock()

    def give(self, request: Request, caller: Caller, password: str) -> str:
        """A word that counts for CONFIRMED_SECONDS. Raises Forbidden."""
        self._access.require_confirmed(request, password)
        word = secrets.token_urlsafe(24)
        now = self._clock()
        with self._lock:
            self._given = {known: given for known, given in self._given.items() if given.until > now}
            self._given[word] = _Given(caller.owner, now + CONFIRMED_SECONDS)
        return word

    def require(self, caller: Caller, word: str) -> None:
        """Raises Forbidden for a word that does not count, or not for this caller."""
        with self._lock:
            given = self._given.get(word)
        if given is None or given.owner != caller.owner or given.until <= self._clock():
            raise Forbidden("That needs a fresh confirmation.", hint="Confirm it once more.")


def extension_installing_router(installs: Installs, access: Access) -> APIRouter:
    """The routes. Whatever they change takes effect at the next start."""
    router = APIRouter(prefix="/api/extensions", tags=["extensions"])
    confirmations = Confirmations(access)

    def require(caller: Caller, word: str) -> None:
        caller.require_admin()
        if installs.refusal:
            raise Forbidden(installs.refusal)
        confirmations.require(caller, word)

    @router.post("/confirmations", status_code=201)
    def confirm(body: Password, request: Request, caller: TheCaller) -> dict[str, Any]:
        """Proves once more who asks: by the login's password, without logins by asking at the machine itself."""
        caller.require_admin()
        if installs.refusal:
            raise Forbidden(installs.refusal)
        return {"confirmation": confirmations.give(request, caller, body.password), "seconds": CONFIRMED_SECONDS}

    @router.get("/installing")
    def installing(caller: TheCaller) -> dict[str, Any]:
        """What is being fetched or was last, what waits for the next start, and why nothing may be installed."""
        caller.require_admin()
        now = installs.now
        return {
            "refusal": installs.refusal,
            "now": None if now is None else now._asdict(),
            "waiting": dict(installs.waiting()),
        }

    @router.post("/install", status_code=202)
    def install(body: Source, caller: TheCaller) -> dict[str, Any]:
        """Begins to fetch a git repository; it is loaded at the next start."""
        require(caller, body.confirmation)
        return {"name": installs.from_address(body.address, body.branch, body.name)}

    @router.post("/archive", status_code=202)
    async def archive(
        request: Request, caller: TheCaller, name: Annotated[str, Query()], confirmation: Annotated[str, Query()]
    ) -> dict[str, Any]:
        """Takes the body, a .zip, as an extension of this name; it is loaded at the next start."""
        require(caller, confirmation)
        kept = installs.aside()
        try:
            size = 0
            with kept.open("xb") as file:
                async for part in request.stream():
                    size += len(part)
                    if size > LARGEST_ARCHIVE:
                        raise InvalidField(f"The archive is larger than {LARGEST_ARCHIVE >> 20} MB.", field="archive")
                    await run_in_threadpool(file.write, part)
            return {"name": await run_in_threadpool(installs.from_archive, kept, name)}
        except BaseException:
            kept.unlink(missing_ok=True)
            raise

    @router.post("/installing/stop", status_code=204)
    def stop(caller: TheCaller) -> None:
        """Ends what is being fetched; nothing of it is left."""
        caller.require_admin()
        installs.stop()

    @router.post("/{name}/update", status_code=202)
    def update(name: str, body: Confirmed, caller: TheCaller) -> dict[str, Any]:
        """Begins to fetch the newest of one that is a clone; it is loaded at the next start."""
        require(caller, body.confirmation)
        installs.update(name)
        return {"name": name}

    @router.post("/{name}/remove", status_code=202)
    def remove(name: str, body: Confirmed, caller: TheCaller) -> dict[str, Any]:
        """It is gone after the next start."""
        require(caller, body.confirmation)
        installs.remove(name)
        return {"name": name}

    @router.post("/{name}/undo", status_code=202)
    def undo(name: str, body: Confirmed, caller: TheCaller) -> dict[str, Any]:
        """The next start leaves it as it is."""
        require(caller, body.confirmation)
        installs.undo(name)
        return {"name": name}

    return router
