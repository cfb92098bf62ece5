"""Handlers: what stands behind the widgets of txt2img: form to job, kept form to widgets, menus.

What happens after a job is stored (progress, pictures) is the script's, which watches its events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import gradio as gr

from app.access import caller_of
from app.jobs import Jobs
from app.language import StyleBook
from app.schema.errors import EaselError, UnexpectedFailure
from app.schema.settings import Settings, SettingValues
from app.web.form import ELEMENT_IDS, EXTRA_FIELDS, SEEDS, START, request_of, restored
from app.web.model_menus import ModelMenus, followed
from app.web.overrides import read_overrides
from app.web.paste_handlers import box_of, wire_pasting
from app.web.pasting import Pasting

logger = logging.getLogger(__name__)

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def wire(
    made: Mapping[str, Any],
    *,
    jobs: Jobs,
    settings: Settings,
    menus: ModelMenus,
    styles: StyleBook,
    page: gr.Blocks,
) -> None:
    """Puts the handlers under the widgets."""
    fields = [made[name] for name in ELEMENT_IDS]
    memory = gr.Textbox(visible=False)
    answer = gr.Textbox(visible=False)

    def submit(request: gr.Request, overrides: list[str] | None, *values: Any) -> str:
        caller = caller_of(request)
        try:
            wanted = request_of(values, settings.values(caller.user), read_overrides(overrides or []))
            return json.dumps({"id": jobs.submit(wanted, caller.owner).id})
        except EaselError as error:
            problem = error
        except Exception:
            logger.exception("A job could not be submitted")
            problem = UnexpectedFailure("The program failed while it took the job.", hint="Its log holds the details.")
        return json.dumps({"error": {"message": problem.message, "hint": problem.hint, "field": problem.field}})

    def fill(request: gr.Request, memory: str) -> list[Any]:
        return _filled(memory, settings.values(caller_of(request).user), menus)

    def refresh(checkpoint: str | None, vae: str | None) -> list[Any]:
        menus.refresh()
        return [_menu(menus.checkpoints(), checkpoint), _menu(menus.vaes(), vae)]

    def follow(memory: str, checkpoint: str | None) -> list[Any]:
        if checkpoint is None:
            return [gr.skip() for _ in (*ELEMENT_IDS, "memory")]
        saved = _loaded(memory)
        now = menus.recommended(checkpoint)
        change = followed(restored(saved.get("values")), saved.get("recommended") or {}, now)
        told = json.dumps({"recommended": now, "checkpoint": checkpoint})
        return [*(change.get(name, gr.skip()) for name in ELEMENT_IDS), told]

    def choose(memory: str, checkpoint: str | None) -> list[Any]:
        """As `follow`, for a checkpoint that a card chose: the menu shows it, even where it is newer than the menu."""
        return [_menu(menus.checkpoints(), checkpoint), *follow(memory, checkpoint)[1:]]

    # Not `then`, which would run with the answer before this one where none came.
    # Not `once`, after which Gradio never sends again when one sending met a dead connection; the script keeps double
    # clicks back.
    made["generate"].click(
        submit, [made["overrides"], *fields], answer, preprocess=False, trigger_mode="multiple", **_QUIET
    ).success(None, answer, None, js="answer => easel.submitted(answer)")
    made["checkpoint"].input(
        follow,
        [memory, made["checkpoint"]],
        [*fields, memory],
        js="(_, name) => easel.choice(name)",
        preprocess=False,
        **_QUIET,
    ).then(None, memory, None, js="text => easel.answered(text)")
    made["choose"].click(
        choose,
        [memory, made["checkpoint"]],
        [*fields, memory],
        js="() => [easel.memory(), easel.chosen]",
        preprocess=False,
        **_QUIET,
    ).then(None, memory, None, js="text => easel.follow(text)")
    kept = [*fields, made["overrides"]]
    filled = [*kept, made["extra"], memory]
    for trigger, script in ((page.load, "() => easel.memory()"), (made["reset"].click, "() => easel.forget()")):
        trigger(fill, memory, filled, js=script, preprocess=False, **_QUIET).then(
            None, [memory, *kept], None, js="(text, ...values) => easel.filled(text, values)"
        )
    made["refresh"].click(
        refresh, [made["checkpoint"], made["vae"]], [made["checkpoint"], made["vae"]], preprocess=False, **_QUIET
    )
    remember: dict[str, Any] = {"js": "(...values) => easel.remember(values)", "trigger_mode": "multiple"}
    gr.on([field.change for field in kept], None, kept, None, **remember)
    wire_pasting(made, pasting=Pasting(jobs, menus.resolver), settings=settings, menus=menus, styles=styles)
    made["swap"].click(
        None, [made["width"], made["height"]], [made["width"], made["height"]], js="(width, height) => [height, width]"
    )
    made["dice"].click(None, None, made["seed"], js="() => '-1'")
    made["recycle"].click(None, made["seed"], made["seed"], js="seed => easel.shownSeed(seed)")


def _filled(memory: str, settings: SettingValues, menus: ModelMenus) -> list[Any]:
    """Updates of the whole form: what the browser kept, over what the checkpoint recommends, over the defaults."""
    saved = _loaded(memory)
    values = {**START, "vae": settings.sd_vae, **restored(saved.get("values"))}
    checkpoints, vaes, styles = menus.checkpoints(), menus.vaes(), menus.styles()
    if values["checkpoint"] not in {value for _, value in checkpoints}:
        values["checkpoint"] = menus.usual_checkpoint()
    if values["vae"] not in {value for _, value in vaes}:
        values["vae"] = START["vae"]
    values["styles"] = [name for name in values["styles"] if name in styles]
    now = menus.recommended(values["checkpoint"])
    values |= followed(values, saved.get("recommended") or {}, now)
    updates: dict[str, Any] = {name: str(value) if name in SEEDS else value for name, value in values.items()}
    updates["checkpoint"] = _menu(checkpoints, values["checkpoint"] or None)
    updates["vae"] = _menu(vaes, values["vae"])
    updates["styles"] = gr.Dropdown(choices=styles, value=values["styles"], visible=bool(styles))
    told = json.dumps(
        {"recommended": now, "checkpoint": values["checkpoint"] or None, "previews": settings.live_previews_enable}
    )
    # Seeds stand in the form as text, so that they keep all their digits.
    opened = any(values[name] not in (START[name], str(START[name])) for name in EXTRA_FIELDS)
    overrides = box_of(_kept_overrides(saved.get("values")))
    return [*(updates[name] for name in ELEMENT_IDS), overrides, gr.Accordion(open=opened), told]


def _kept_overrides(values: Any) -> list[str]:
    """The overrides that a browser kept, without those that mean nothing any more."""
    found = []
    for text in values.get("overrides") or [] if isinstance(values, dict) else []:
        try:
            read_overrides([str(text)])
        except EaselError:
            continue
        found.append(str(text))
    return found


def _loaded(memory: str) -> dict[str, Any]:
    try:
        saved = json.loads(memory or "{}")
    except ValueError:
        return {}
    return saved if isinstance(saved, dict) else {}


def _menu(choices: list[tuple[str, str]], value: str | None) -> Any:
    return gr.Dropdown(choices=choices, value=value if value in {known for _, known in choices} else None)
