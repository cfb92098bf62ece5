"""Extensions over HTTP: /api/extensions shows and chooses them, A1111's routes list them in its shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from app.access import Caller, caller_of
from app.api.sdapi_scripts import script_items
from app.schema.errors import InvalidField
from app.schema.infotext import NO_MODELS, Models
from app.schema.settings import Settings

TheCaller = Annotated[Caller, Depends(caller_of)]


class Listed(Protocol):
    """What is shown of an extension; the host's own value has it."""

    name: str
    folder: Path
    state: Literal["loaded", "disabled", "failed"]
    problem: str

    @property
    def built_in(self) -> bool: ...

    @property
    def about(self) -> str: ...


class Choice(BaseModel):
    """disabled: names of the extensions that the next start leaves out."""

    model_config = ConfigDict(extra="forbid")

    disabled: list[str]
    disable_all: Literal["none", "extra", "all"] = "none"


class Origin(Protocol):
    """Where an extension is from."""

    @property
    def address(self) -> str: ...

    @property
    def branch(self) -> str: ...

    @property
    def commit(self) -> str: ...


def _nowhere(folder: Path) -> Origin | None:
    return None


def extensions_router(
    listed: Callable[[], Sequence[Listed]],
    settings: Settings,
    models: Models = NO_MODELS,
    origin_of: Callable[[Path], Origin | None] = _nowhere,
) -> APIRouter:
    """The routes. models: of the extensions' values. origin_of: which repository a folder is a clone of."""
    router = APIRouter()

    @router.get("/api/extensions", tags=["extensions"])
    def known(caller: TheCaller) -> dict[str, Any]:
        """All extensions with what became of them; tracebacks are for the administrator, who may also choose."""
        values = settings.values()
        disabled = set(values.disabled_extensions)
        return {
            "may_change": caller.admin,
            "login": caller.user is not None,
            "disable_all": values.disable_all_extensions,
            "extensions": [
                {
                    "name": one.name,
                    "about": one.about,
                    "built_in": one.built_in,
                    "state": one.state,
                    "enabled": one.name not in disabled,
                    "problem": _shown(one.problem, caller),
                    "address": _address(origin_of(one.folder)) if caller.admin and not one.built_in else "",
                }
                for one in listed()
            ],
        }

    @router.post("/api/extensions", tags=["extensions"])
    def choose(choice: Choice, caller: TheCaller) -> dict[str, Any]:
        """Keeps the choice for the next start."""
        caller.require_admin()
        there = {one.name for one in listed()}
        unknown = [name for name in choice.disabled if name not in there]
        if unknown:
            raise InvalidField(f"There is no extension '{unknown[0][:80]}'.", field="disabled")
        settings.change({"disabled_extensions": choice.disabled, "disable_all_extensions": choice.disable_all})
        return known(caller)

    @router.get("/sdapi/v1/extensions", tags=["sdapi"])
    def extensions() -> list[dict[str, Any]]:
        """Those that did not come with the program, as A1111 lists its own."""
        disabled = set(settings.values().disabled_extensions)
        others = [(one, origin_of(one.folder)) for one in listed() if not one.built_in]
        return [
            {
                "name": one.name,
                "remote": _address(origin),
                "branch": origin.branch if origin else "",
                "commit_hash": origin.commit if origin else "",
                "commit_date": 0,
                "version": origin.commit[:8] if origin else "",
                "enabled": one.name not in disabled,
            }
            for one, origin in others
        ]

    @router.get("/sdapi/v1/scripts", tags=["sdapi"])
    def scripts() -> dict[str, list[str]]:
        """The names that `script_name` and `alwayson_scripts` may hold; other scripts of A1111's are not served."""
        items = list(script_items(models))
        return {
            tab: sorted(item["name"] for item in items if item["is_img2img"] is redraws)
            for tab, redraws in (("txt2img", False), ("img2img", True))
        }

    @router.get("/sdapi/v1/script-info", tags=["sdapi"])
    def script_info() -> list[dict[str, Any]]:
        """The same with the arguments that they take."""
        return list(script_items(models))

    return router


def _address(origin: Origin | None) -> str:
    return origin.address if origin else ""


def _shown(problem: str, caller: Caller) -> str:
    if caller.admin or not problem:
        return problem
    return problem.strip().splitlines()[-1]
