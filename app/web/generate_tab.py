"""The txt2img tab: A1111's layout, and the handlers that take the form to a job.

What happens after a job is stored (progress, pictures) is script.js's, which watches its events.
"""

from __future__ import annotations

import json
import logging
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.access import caller_of
from app.jobs import Jobs
from app.schema.errors import EaselError, UnexpectedFailure
from app.schema.settings import Settings
from app.web.form import ELEMENT_IDS, HELP, SEEDS, START, request_of, restored, widget
from app.web.model_menus import ModelMenus, followed

logger = logging.getLogger(__name__)

_RESULTS = Path(__file__).with_name("results.html")
_STOP_BUTTONS = """
<div class="easel-stop">
  <button id="txt2img_interrupt" class="easel-button" type="button" disabled
    title="End with the pictures as they are (Esc)">Interrupt</button>
  <button id="txt2img_skip" class="easel-button" type="button" disabled
    title="On to the next picture (Alt+Enter)">Skip</button>
</div>
<div id="txt2img_error" class="easel-error" role="alert" hidden></div>
"""
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
EXTRA_FIELDS = ("variation_seed", "variation_strength", "seed_resize_width", "seed_resize_height")

Widgets = dict[str, Any]


def quicksettings(menus: ModelMenus) -> Widgets:
    """The row of models above the tabs."""
    with gr.Row(elem_id="quicksettings"):
        checkpoint = widget("checkpoint", scale=3)
        refresh = gr.Button("↻", elem_id="refresh_sd_model_checkpoint", elem_classes="easel-tool", size="sm")
        vae = widget("vae", scale=2)
    return {"checkpoint": checkpoint, "refresh": refresh, "vae": vae}


def txt2img_layout() -> Widgets:
    """The tab's widgets by the names of their fields, and buttons by their own."""
    made: Widgets = {}
    with gr.Row(elem_id="txt2img_toprow"):
        with gr.Column(scale=6, min_width=300):
            made["prompt"] = _prompt("prompt", "txt2img_token_counter", "Prompt")
            made["negative_prompt"] = _prompt("negative_prompt", "txt2img_negative_token_counter", "Negative prompt")
        with gr.Column(scale=2, min_width=200, elem_id="txt2img_actions_column"):
            made["generate"] = gr.Button("Generate", variant="primary", elem_id="txt2img_generate")
            gr.HTML(_STOP_BUTTONS, js_on_load=None)
            made["styles"] = widget("styles", multiselect=True, visible=False)
    with gr.Row(elem_id="txt2img_below"):
        with gr.Column(scale=1, min_width=300, elem_id="txt2img_settings"):
            _settings(made)
        with gr.Column(scale=1, min_width=300):
            made["elements"] = gr.HTML(_results(), js_on_load=None)
    return made


def wire(made: Widgets, *, jobs: Jobs, settings: Settings, menus: ModelMenus, page: gr.Blocks) -> None:
    """Puts the handlers under the widgets."""
    fields = [made[name] for name in ELEMENT_IDS]
    memory = gr.Textbox(visible=False)
    answer = gr.Textbox(visible=False)

    def submit(request: gr.Request, *values: Any) -> str:
        caller = caller_of(request)
        try:
            wanted = request_of(values, settings.values(caller.user))
            return json.dumps({"id": jobs.submit(wanted, caller.owner).id})
        except EaselError as error:
            problem = error
        except Exception:
            logger.exception("A job could not be submitted")
            problem = UnexpectedFailure("The program failed while it took the job.", hint="Its log holds the details.")
        return json.dumps({"error": {"message": problem.message, "hint": problem.hint, "field": problem.field}})

    def fill(request: gr.Request, memory: str) -> list[Any]:
        return _filled(memory, settings.values(caller_of(request).user).sd_vae, menus)

    def refresh(checkpoint: str | None, vae: str | None) -> list[Any]:
        menus.refresh()
        return [_menu(menus.checkpoints(), checkpoint), _menu(menus.vaes(), vae)]

    def follow(memory: str, checkpoint: str | None) -> list[Any]:
        saved = _loaded(memory)
        now = menus.recommended(checkpoint)
        change = followed(restored(saved.get("values")), saved.get("recommended") or {}, now)
        return [*(change.get(name, gr.skip()) for name in ELEMENT_IDS), json.dumps(now)]

    made["generate"].click(submit, fields, answer, preprocess=False, **_QUIET).then(
        None, answer, None, js="answer => easel.submitted(answer)"
    )
    made["checkpoint"].input(
        follow,
        [memory, made["checkpoint"]],
        [*fields, memory],
        js="(_, name) => [easel.memory(), name]",
        preprocess=False,
        **_QUIET,
    ).then(None, memory, None, js="text => easel.follow(text)")
    filled = [*fields, made["extra"], memory]
    for trigger, script in ((page.load, "() => easel.memory()"), (made["reset"].click, "() => easel.forget()")):
        trigger(fill, memory, filled, js=script, preprocess=False, **_QUIET).then(
            None, [memory, *fields], None, js="(text, ...values) => easel.filled(text, values)"
        )
    made["refresh"].click(
        refresh, [made["checkpoint"], made["vae"]], [made["checkpoint"], made["vae"]], preprocess=False, **_QUIET
    )
    gr.on([field.change for field in fields], None, fields, None, js="(...values) => easel.remember(values)")
    made["swap"].click(
        None, [made["width"], made["height"]], [made["width"], made["height"]], js="(width, height) => [height, width]"
    )
    made["dice"].click(None, None, made["seed"], js="() => '-1'")
    made["recycle"].click(None, made["seed"], made["seed"], js="seed => easel.shownSeed(seed)")


def _filled(memory: str, usual_vae: str, menus: ModelMenus) -> list[Any]:
    """Updates of the whole form: what the browser kept, over what the checkpoint recommends, over the defaults."""
    saved = _loaded(memory)
    values = {**START, "vae": usual_vae, **restored(saved.get("values"))}
    checkpoints, vaes, styles = menus.checkpoints(), menus.vaes(), menus.styles()
    if values["checkpoint"] not in {value for _, value in checkpoints}:
        values["checkpoint"] = menus.usual_checkpoint()
    if values["vae"] not in {value for _, value in vaes}:
        values["vae"] = START["vae"]
    values["styles"] = [name for name in values["styles"] if name in styles]
    now = menus.recommended(values["checkpoint"])
    values |= followed(values, saved.get("recommended") or {}, now)
    updates: Widgets = {name: str(value) if name in SEEDS else value for name, value in values.items()}
    updates["checkpoint"] = _menu(checkpoints, values["checkpoint"] or None)
    updates["vae"] = _menu(vaes, values["vae"])
    updates["styles"] = gr.Dropdown(choices=styles, value=values["styles"], visible=bool(styles))
    opened = any(values[name] != START[name] for name in EXTRA_FIELDS)
    return [*(updates[name] for name in ELEMENT_IDS), gr.Accordion(open=opened), json.dumps(now)]


def _loaded(memory: str) -> dict[str, Any]:
    try:
        saved = json.loads(memory or "{}")
    except ValueError:
        return {}
    return saved if isinstance(saved, dict) else {}


def _menu(choices: list[tuple[str, str]], value: str | None) -> Any:
    return gr.Dropdown(choices=choices, value=value if value in {known for _, known in choices} else None)


def _prompt(name: str, counter: str, placeholder: str) -> Any:
    with gr.Group(elem_classes="easel-prompt"):
        gr.HTML(
            f'<span id="{counter}" class="easel-counter" title="tokens used / room before the next chunk">0/75</span>',
            js_on_load=None,
        )
        return widget(name, lines=3, max_lines=12, placeholder=f"{placeholder} (Ctrl+Enter generates)")


def _settings(made: Widgets) -> None:
    with gr.Row():
        made["sampler"] = widget("sampler")
        made["schedule"] = widget("schedule")
    made["steps"] = widget("steps")
    with gr.Row():
        with gr.Column(scale=4, min_width=200):
            made["width"] = widget("width")
            made["height"] = widget("height")
        made["swap"] = gr.Button("⇅", elem_id="txt2img_res_switch_btn", elem_classes="easel-tool", size="sm")
        with gr.Column(scale=3, min_width=160):
            made["batch_count"] = widget("batch_count")
            made["batch_size"] = widget("batch_size")
    made["cfg_scale"] = widget("cfg_scale")
    with gr.Row():
        made["seed"] = widget("seed", scale=4)
        made["dice"] = gr.Button("🎲", elem_id="txt2img_random_seed", elem_classes="easel-tool", size="sm")
        made["recycle"] = gr.Button("♻", elem_id="txt2img_reuse_seed", elem_classes="easel-tool", size="sm")
    with gr.Accordion("Extra", open=False, elem_id="txt2img_subseed_show") as made["extra"]:
        for first, second in (EXTRA_FIELDS[:2], EXTRA_FIELDS[2:]):
            with gr.Row():
                made[first] = widget(first)
                made[second] = widget(second)
    made["reset"] = gr.Button("Reset the form", elem_id="txt2img_reset", size="sm")


def _results() -> str:
    """The results' skeleton; it carries the table of fields and DOM ids by which the script marks what is wrong."""
    table = escape(json.dumps({"fields": ELEMENT_IDS, "help": HELP}), quote=True)
    return f'<div id="easel_page" data-page="{table}"></div>' + _RESULTS.read_text(encoding="utf-8")
