"""Infotexts over A1111's interface: what a picture file says of itself, and values that a request leaves out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from app.access import caller_of
from app.api.encoded_picture import decoded_picture
from app.api.sdapi_extensions import extension_fields
from app.api.sdapi_request import Fields, Txt2ImgFields
from app.files import read_picture_recipe
from app.jobs import Resolver, lookups_of
from app.schema.control import Control, controls_of
from app.schema.infotext import ALWAYS_WRITTEN, png_info_parameters, read_infotext_text, request_from_infotext
from app.schema.request import GenerationRequest
from app.schema.settings import REQUEST_FIELDS, Settings, SettingValues


class PngInfoFields(BaseModel):
    """image: a picture file in base64."""

    image: str


def infotext_router(resolver: Resolver, settings: Settings) -> APIRouter:
    """The route /png-info, to be put under /sdapi/v1."""
    router = APIRouter()

    @router.post("/png-info")
    def png_info(fields: PngInfoFields, request: Request) -> dict[str, Any]:
        """The infotext of a picture, its other texts, and the parameters that the text comes to."""
        recipe = read_picture_recipe(decoded_picture(fields.image)) if fields.image.strip() else None
        text = recipe.text if recipe else ""
        values = settings.values(caller_of(request).user)
        parameters = png_info_parameters(text, lookups_of(resolver), styles=values.infotext_styles)
        return {"info": text, "items": recipe.items if recipe else {}, "parameters": parameters}

    return router


def with_infotext(fields: Fields, settings: SettingValues, resolver: Resolver) -> Fields:
    """The fields with what the request leaves out taken from its infotext; settings go to `override_settings`.

    A field that the request names keeps its value, even where that is the default. The caller's own checkpoint stays
    where the text's is not here, or the option disable_weights_auto_swap is on.
    """
    if not fields.infotext:
        return fields
    lookups = lookups_of(
        resolver, styles=settings.infotext_styles != "Ignore", checkpoint=not settings.disable_weights_auto_swap
    )
    said = request_from_infotext(read_infotext_text(fields.infotext), lookups, resolver.extensions).fields
    given = set(fields.model_fields_set)
    if fields.sampler_name or "sampler_index" in given:
        given |= {"sampler_name", "sampler_index"}
    if settings.infotext_styles == "Discard":
        said.pop("styles", None)
    filled = {
        control.api: said[name]
        for name, control in controls_of(GenerationRequest).items()
        if control.api in _FIELDS and control.api not in given and name in said and _is_said(name, control, said[name])
    }
    further = extension_fields(said.get("extensions", {}))
    filled |= {name: value for name, value in further.items() if name in _FIELDS and name not in given}
    if "styles" in filled:
        filled["styles"] = list(filled["styles"])
    overrides = dict(fields.override_settings or {})
    for option, name in REQUEST_FIELDS.items():
        if name in said and said[name] != getattr(settings, option):
            overrides.setdefault(option, said[name])
    return fields.model_copy(update={**filled, "override_settings": overrides})


def _is_said(name: str, control: Control, value: Any) -> bool:
    """Whether a text says the value, and not only by leaving it out: then the API's own default stays."""
    always = control.infotext is None or control.infotext in ALWAYS_WRITTEN
    return always or value != GenerationRequest.model_fields[name].default


_FIELDS = Txt2ImgFields.model_fields.keys() - REQUEST_FIELDS.keys()
"""Those that are settings of A1111 too (tiling, s_churn ...) are filled as overrides, as there."""
