"""Faces: the words of face restoration that pages, interfaces and files share."""

from __future__ import annotations

from app.schema.errors import NotServedYet

GFPGAN = "GFPGAN"
"""What A1111 and infotexts call the restorer, whichever of its files is used."""
CODEFORMER = "CodeFormer"
NO_CODEFORMER = (
    "CodeFormer is not offered: its licence (S-Lab License 1.0) allows no commercial use. GFPGAN does the same work."
)

NO_FACE_FOUND = "No face was found; the picture stays as it is."


def means_codeformer(name: str) -> bool:
    """Whether a restorer's name is CodeFormer's."""
    return CODEFORMER.casefold() in name.casefold()


def codeformer_refused(field: str) -> NotServedYet:
    """Says why, and what to choose instead."""
    return NotServedYet(NO_CODEFORMER, field=field, hint="Choose GFPGAN.")
