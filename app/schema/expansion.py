"""Expansion: how one stored request becomes several pictures that differ, and which of them follows from which."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PartPlan(BaseModel):
    """One picture of an expanded request.

    variant: number of the request among the variants that makes it. seed, variation_seed: its own. batch: parts with
    equal numbers may share model calls. source: number of an earlier part whose picture it redraws in place of the
    request's own, None for that one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: int = Field(ge=0)
    seed: int = Field(ge=0)
    variation_seed: int = Field(ge=0)
    batch: int = 0
    source: int | None = None
