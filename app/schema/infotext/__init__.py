"""The infotext ('parameters') of pictures: written as A1111 does, read from any version and program."""

from app.schema.infotext.differences import Difference, Present, differences
from app.schema.infotext.file_differences import NamedFile, checkpoint_difference
from app.schema.infotext.keys import ALWAYS_WRITTEN, NO_MODELS, Models, request_fields
from app.schema.infotext.lookups import NO_LOOKUPS, Lookups
from app.schema.infotext.parameters import a1111_parameters, png_info_parameters
from app.schema.infotext.programs import read_picture_items
from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.request import PastedRequest, request_from_infotext
from app.schema.infotext.settings import override_settings, settings_of
from app.schema.infotext.text import PROGRAM, PROGRAM_NAME, Entry, Infotext, write_infotext
from app.schema.infotext.writer import picture_entries, picture_request

__all__ = [
    "ALWAYS_WRITTEN",
    "NO_LOOKUPS",
    "NO_MODELS",
    "PROGRAM",
    "PROGRAM_NAME",
    "Difference",
    "Entry",
    "Infotext",
    "Lookups",
    "Models",
    "NamedFile",
    "PastedRequest",
    "Present",
    "a1111_parameters",
    "checkpoint_difference",
    "differences",
    "override_settings",
    "picture_entries",
    "picture_request",
    "png_info_parameters",
    "read_infotext_text",
    "read_picture_items",
    "request_fields",
    "request_from_infotext",
    "settings_of",
    "write_infotext",
]
