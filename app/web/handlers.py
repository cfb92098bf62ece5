"""Handlers: what stands behind the widgets of the generation tabs: form to job, kept form to widgets, menus.

What happens after a job is stored (progress, pictures) is the script's, which watches its events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr

from app.access import caller_of
from app.jobs import Jobs
from app.language import StyleBook
from app.schema.errors import EaselError, UnexpectedFailure
from app.schema.settings import Settings, SettingValues
from app.web.extension_panel import wire_panels
from app.web.form import EXTRA_FIELDS, FORMS, MODELS, SEEDS, START, TXT2IMG, Form, Values, request_of, restored
from app.web.model_menus import Choice, ModelMenus, followed
from app.web.overrides import read_overrides
from app.web.paste_handlers import box_of, wire_pasting
from app.web.pasting import Pasting
from app.web.source_fields import read_source

logger = logging.getLogger(__name__)

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
_SILENT: dict[str, Any] = {"preprocess": False, **_QUIET}
Widgets = Mapping[str, Any]


def wire(
    models: Widgets,
    tabs: Mapping[str, Widgets],
    *,
    jobs: Jobs,
    settings: Settings,
    menus: ModelMenus,
    styles: StyleBook,
    page: gr.Blocks,
) -> None:
    """Puts the handlers under the widgets. models: of the row above the tabs. tabs: by the names of their forms."""
    _wire_models(models, tabs, settings=settings, menus=menus, page=page)
    for form in FORMS:
        made = {**models, **tabs[form.tab]}
        _wire_generate(form, made, jobs=jobs, settings=settings)
        _wire_tools(form, made, settings=settings, menus=menus)
        wire_panels(form, made, menus, page, models["refresh"])
        wire_pasting(form, made, pasting=Pasting(jobs, menus.resolver), settings=settings, menus=menus, styles=styles)


def _wire_generate(form: Form, made: Widgets, *, jobs: Jobs, settings: Settings) -> None:
    answer, source = gr.Textbox(visible=False), gr.Textbox(visible=False)

    def submit(request: gr.Request, source: str, overrides: list[str] | None, *values: Any) -> str:
        caller = caller_of(request)
        try:
            pictures = read_source(source) if form.redraws else {}
            chosen = read_overrides(overrides or [])
            wanted = request_of(form, values, settings.values(caller.user), chosen, pictures)
            return json.dumps({"id": jobs.submit(wanted, caller.owner).id})
        except EaselError as error:
            problem = error
        except Exception:
            logger.exception("A job could not be submitted")
            problem = UnexpectedFailure("The program failed while it took the job.", hint="Its log holds the details.")
        return json.dumps({"error": {"message": problem.message, "hint": problem.hint, "field": problem.field}})

    # Not `then`, which would run with the answer before this one where none came.
    # Not `once`, after which Gradio never sends again when one sending met a dead connection; the script keeps double
    # clicks back.
    source_of = f"await easel.source('{form.tab}')" if form.redraws else "''"
    made["generate"].click(
        submit,
        [source, made["overrides"], *(made[name] for name in form.ids)],
        answer,
        js=f"async (_, overrides, ...rest) => [{source_of}, overrides, ...easel.extensions.sent('{form.tab}', rest)]",
        trigger_mode="multiple",
        **_SILENT,
    ).success(None, answer, None, js=f"answer => easel.submitted('{form.tab}', answer)")


def _wire_models(
    models: Widgets, tabs: Mapping[str, Widgets], *, settings: Settings, menus: ModelMenus, page: gr.Blocks
) -> None:
    memory = gr.Textbox(visible=False)
    own = [tabs[form.tab][name] for form in FORMS for name in form.own]

    def fill(request: gr.Request, memory: str) -> list[Any]:
        saved = _loaded(memory)
        values = settings.values(caller_of(request).user)
        checkpoints, vaes = menus.checkpoints(), menus.vaes()
        chosen = _models(_part(saved, TXT2IMG), values, checkpoints, vaes, menus)
        told: Values = {"previews": values.live_previews_enable}
        told |= {"send": {"size": values.send_size, "seed": values.send_seed}, "tabs": {}}
        wanted: list[Any] = [*chosen]
        usual: list[Any] = [START[name] for name in MODELS]
        offered: list[Any] = []
        for form in FORMS:
            filled, told["tabs"][form.tab] = _filled(form, _part(saved, form), chosen[0] or "", menus)
            wanted += [*filled.values, filled.overrides]
            usual += [*(START[name] for name in form.own), []]
            # Without a value: that is the script's to give.
            offered += [gr.Dropdown(choices=filled.styles, visible=bool(filled.styles))]
            offered += [gr.Dropdown(choices=filled.overrides, visible=bool(filled.overrides))]
            offered += [gr.Accordion(open=filled.opened)]
        told["restored"], told["usual"] = wanted, usual
        return [gr.Dropdown(choices=checkpoints), gr.Dropdown(choices=vaes), *offered, json.dumps(told)]

    def refresh(checkpoint: str | None, vae: str | None) -> list[Any]:
        menus.refresh()
        return [_menu(menus.checkpoints(), checkpoint), _menu(menus.vaes(), vae)]

    def follow(memory: str, checkpoint: str | None) -> list[Any]:
        if checkpoint is None:
            return [gr.skip() for _ in (*own, "memory")]
        saved, now, changes = _loaded(memory), menus.recommended(checkpoint), []
        for form in FORMS:
            kept = _part(saved, form)
            change = followed(
                restored(form, kept.get("values"), menus.resolver.choices), kept.get("recommended") or {}, now
            )
            changes += [change.get(name, gr.skip()) for name in form.own]
        return [*changes, json.dumps(_told(checkpoint, menus))]

    def choose(memory: str, checkpoint: str | None) -> list[Any]:
        """As `follow`, for a checkpoint that a card chose: the menu shows it, even where it is newer than the menu."""
        return [_menu(menus.checkpoints(), checkpoint), *follow(memory, checkpoint)]

    asked = [memory, models["checkpoint"]]
    models["checkpoint"].input(follow, asked, [*own, memory], js="(_, name) => easel.choice(name)", **_SILENT).then(
        None, memory, None, js="text => easel.answered(text)"
    )
    models["choose"].click(
        choose,
        asked,
        [models["checkpoint"], *own, memory],
        js="() => [easel.memories(), easel.chosen]",
        **_SILENT,
    ).then(None, memory, None, js="text => easel.follow(text)")
    row = [models[name] for name in MODELS]
    kept = [*row, *(widget for form in FORMS for widget in _kept(form, tabs[form.tab]))]
    offered = [*row, *(tabs[form.tab][name] for form in FORMS for name in ("styles", "overrides", "extra"))]
    # The server's answer may come late: the script alone knows what was touched meanwhile, and spares it.
    page.load(fill, memory, [*offered, memory], js="() => easel.memories()", **_SILENT).then(
        None, [memory, *kept], kept, js="(text, ...values) => easel.restored(text, values)"
    ).then(None, [memory, *kept], None, js="(text, ...values) => easel.filled(text, values)")
    models["refresh"].click(refresh, row, row, **_SILENT)


def _wire_tools(form: Form, made: Widgets, *, settings: Settings, menus: ModelMenus) -> None:
    memory = gr.Textbox(visible=False)

    def reset(checkpoint: str | None) -> list[Any]:
        filled, told = _filled(form, {}, checkpoint or "", menus)
        updates = [*filled.values, box_of(filled.overrides), gr.Accordion(open=filled.opened)]
        return [*updates, json.dumps({"tabs": {form.tab: told}})]

    own = _kept(form, made)
    kept = [*(made[name] for name in MODELS), *own]
    made["reset"].click(
        reset,
        made["checkpoint"],
        [*own, made["extra"], memory],
        js=f"name => easel.forget('{form.tab}', name)",
        **_SILENT,
    ).then(None, [memory, *kept], None, js="(text, ...values) => easel.filled(text, values)")
    remember: dict[str, Any] = {
        "js": f"(...values) => easel.remember('{form.tab}', values)",
        "trigger_mode": "multiple",
    }
    gr.on([field.change for field in kept], None, kept, None, **remember)
    size = [made["width"], made["height"]]
    made["swap"].click(None, size, size, js="(width, height) => [height, width]")
    if form.redraws:
        made["detect"].click(None, size, size, js=f"(...size) => easel.pictureSize('{form.tab}', size)")
    made["dice"].click(None, None, made["seed"], js="() => '-1'")
    made["recycle"].click(None, made["seed"], made["seed"], js=f"seed => easel.shownSeed('{form.tab}', seed)")


def _kept(form: Form, made: Widgets) -> list[Any]:
    """The widgets of one tab that its browser keeps."""
    return [*(made[name] for name in form.own), made["overrides"]]


def _models(
    saved: Values, settings: SettingValues, checkpoints: list[Choice], vaes: list[Choice], menus: ModelMenus
) -> tuple[str | None, str | None]:
    """Checkpoint and VAE: what the browser kept over the usual; None where there is nothing to choose."""
    values = {
        "checkpoint": "",
        "vae": settings.sd_vae,
        **restored(TXT2IMG, saved.get("values"), menus.resolver.choices),
    }
    if values["checkpoint"] not in {value for _, value in checkpoints}:
        values["checkpoint"] = menus.usual_checkpoint()
    if values["vae"] not in {value for _, value in vaes}:
        values["vae"] = START["vae"]
    return _offered(checkpoints, values["checkpoint"]), _offered(vaes, values["vae"])


class _Filled(NamedTuple):
    """What one tab is to show. values: of its own fields. styles: that there are. opened: whether Extra is."""

    values: list[Any]
    overrides: list[str]
    styles: list[str]
    opened: bool


def _filled(form: Form, saved: Values, checkpoint: str, menus: ModelMenus) -> tuple[_Filled, Values]:
    """One tab's form: what the browser kept, over what the checkpoint recommends, over the defaults; and what the
    browser is to keep beside."""
    values = {**START, **restored(form, saved.get("values"), menus.resolver.choices)}
    styles = menus.styles()
    values["styles"] = [name for name in values["styles"] if name in styles]
    told = _told(checkpoint, menus)
    values |= followed(values, saved.get("recommended") or {}, told["recommended"])
    # Seeds stand in the form as text, so that they keep all their digits.
    texts: Values = {name: str(value) if name in SEEDS else value for name, value in values.items()}
    opened = any(values[name] not in (START[name], str(START[name])) for name in EXTRA_FIELDS)
    overrides = _kept_overrides(saved.get("values"))
    return _Filled([texts[name] for name in form.own], overrides, styles, opened), told


def _told(checkpoint: str, menus: ModelMenus) -> Values:
    return {
        "recommended": menus.recommended(checkpoint),
        "checkpoint": checkpoint or None,
        "edits": menus.edits(checkpoint),
    }


def _part(saved: Values, form: Form) -> Values:
    part = saved.get(form.tab)
    return part if isinstance(part, dict) else {}


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


def _menu(choices: list[Choice], value: str | None) -> Any:
    return gr.Dropdown(choices=choices, value=_offered(choices, value))


def _offered(choices: list[Choice], value: str | None) -> str | None:
    return value if value in {known for _, known in choices} else None
