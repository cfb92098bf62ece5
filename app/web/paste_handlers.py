"""Handlers of pasting and styles: an infotext fills the form, styles become text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from app.access import caller_of
from app.language import StyleBook, apply_styles
from app.schema.errors import EaselError
from app.schema.infotext import Infotext, PastedRequest
from app.schema.request import GenerationRequest
from app.schema.settings import Settings, SettingValues
from app.web.form import EXTRA_FIELDS, SEEDS, START, Form, request_of
from app.web.model_menus import ModelMenus
from app.web.overrides import overrides_of, read_overrides
from app.web.pasting import Pasting, infotext_of

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
_NOTHING_YET = "There is no last generation to read. Put an infotext into the prompt, or drop a picture on it."


def wire_pasting(
    form: Form,
    made: Mapping[str, Any],
    *,
    pasting: Pasting,
    settings: Settings,
    menus: ModelMenus,
    styles: StyleBook,
) -> None:
    """Puts the handlers under the prompt tools of one tab."""
    fields = [made[name] for name in form.ids]
    asked, told = gr.Textbox(visible=False), gr.Textbox(visible=False)

    def paste(request: gr.Request, asked: str, kept: list[str] | None, *values: Any) -> list[Any]:
        caller = caller_of(request)
        wish = json.loads(asked)
        text = wish["text"] if wish["text"].strip() else pasting.last(caller.scope)
        preferred = settings.values(caller.user)
        infotext = infotext_of(text, wish.get("program", ""))
        pasted = pasting.read(infotext, preferred)
        notices = pasting.notices(infotext, pasted, preferred) if text else [_NOTHING_YET]
        only = wish.get("only")
        if only is not None:
            pasted = pasted._replace(fields={name: pasted.fields[name] for name in only if name in pasted.fields})
        elif not infotext.fields and text:
            notices = ["No parameters are in this text: it is a prompt and nothing more."]
        filled = _filled(form, pasted, infotext, values, preferred, pasting, kept or [], partly=only is not None)
        checkpoint = pasted.fields.get("checkpoint", values[list(form.ids).index("checkpoint")])
        word = {
            "notices": notices,
            "filled": bool(pasted.fields),
            "kept": {"recommended": menus.recommended(checkpoint), "checkpoint": checkpoint},
        }
        shown = {name: _shown(name, value, menus) for name, value in pasted.fields.items() if name in form.ids}
        opened = any(pasted.fields.get(name, START[name]) != START[name] for name in EXTRA_FIELDS)
        return [
            *(shown.get(name, gr.skip()) for name in form.ids),
            gr.Accordion(open=True) if opened else gr.skip(),
            box_of(filled),
            json.dumps(word),
        ]

    def apply(names: list[str] | None, prompt: str, negative_prompt: str) -> list[Any]:
        merged = apply_styles(prompt or "", negative_prompt or "", names or [], _listed(styles))
        return [[], *merged]

    def changed(chosen: list[str] | None) -> Any:
        names = menus.styles()
        return gr.Dropdown(choices=names, value=[name for name in chosen or [] if name in names], visible=bool(names))

    outputs = [*fields, made["extra"], made["overrides"], told]
    for button, script in (
        ("paste", f"(_, ...rest) => [easel.recipe.fromPrompt('{form.tab}'), ...rest]"),
        ("paste_text", "(_, ...rest) => [easel.recipe.asked(), ...rest]"),
    ):
        made[button].click(
            paste, [asked, made["overrides"], *fields], outputs, js=script, preprocess=False, **_QUIET
        ).then(None, told, None, js=f"told => easel.recipe.pasted('{form.tab}', told)")
    prompts = [made["prompt"], made["negative_prompt"]]
    made["clear"].click(None, prompts, prompts, js="(...texts) => easel.clearedPrompts(texts)")
    made["apply_styles"].click(
        apply, [made["styles"], *prompts], [made["styles"], *prompts], preprocess=False, **_QUIET
    )
    made["edit_styles"].click(None, prompts, None, js=f"(...texts) => easel.styles.edit('{form.tab}', texts)")
    made["styles_changed"].click(changed, made["styles"], made["styles"], preprocess=False, **_QUIET)


def box_of(overrides: Sequence[str]) -> Any:
    """The box of override settings, shown where it holds any."""
    return gr.Dropdown(choices=list(overrides), value=list(overrides), visible=bool(overrides))


def _filled(
    form: Form,
    pasted: PastedRequest,
    infotext: Infotext,
    values: Sequence[Any],
    settings: SettingValues,
    pasting: Pasting,
    kept: list[str],
    *,
    partly: bool,
) -> list[str]:
    """The override settings after pasting: a whole text says all of them anew, a part adds to those kept."""
    if not infotext.fields:
        return kept
    now = dict(zip(form.ids, values, strict=True)) | {
        name: value for name, value in pasted.fields.items() if name in form.ids
    }
    try:
        otherwise = request_of(form, list(now.values()), settings)
    except EaselError:  # a field of the form is empty; it is told when a picture is asked for
        otherwise = GenerationRequest()
    otherwise = otherwise.model_copy(update={"precision": pasting.resolver.precision(otherwise.precision)})
    wanted = dict(pasted.fields)
    if partly:
        wanted = {**read_overrides(kept), **wanted}
    return overrides_of(form, wanted, otherwise)


def _shown(name: str, value: Any, menus: ModelMenus) -> Any:
    """A field's value as its widget takes it; menus of files are drawn up again, since the file may be new to them."""
    if name in SEEDS:
        return str(value)
    if name == "extensions":
        return json.dumps(value)
    if name == "styles":
        names = menus.styles()
        return gr.Dropdown(choices=names, value=[one for one in value if one in names], visible=bool(names))
    if name == "checkpoint":
        return gr.Dropdown(choices=menus.checkpoints(), value=value)
    return gr.Dropdown(choices=menus.vaes(), value=value) if name == "vae" else value


def _listed(styles: StyleBook) -> tuple[Any, ...]:
    try:
        return styles()
    except EaselError:
        return ()
