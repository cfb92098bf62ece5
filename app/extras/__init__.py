"""Extras: finished pictures made larger, cut and mirrored, one after the other, between the groups of other work."""

from app.extras.extras import Extras, Given, Worked, pictures_in
from app.extras.records import ExtrasRecords, ExtrasRun, Source
from app.extras.saving import encoded, words_of

__all__ = ["Extras", "ExtrasRecords", "ExtrasRun", "Given", "Source", "Worked", "encoded", "pictures_in", "words_of"]
