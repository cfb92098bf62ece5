"""From units of text to what the U-Net reads: chunks, emphasis, CLIP skip, learned words, schedules."""

from app.conditioning.conditioning import Conditioning, ConditioningSchedule, aligned, joined
from app.conditioning.emphasis import emphasised
from app.conditioning.encode import Vocabulary, encode_unit

__all__ = [
    "Conditioning",
    "ConditioningSchedule",
    "Vocabulary",
    "aligned",
    "emphasised",
    "encode_unit",
    "joined",
]
