"""The starter's networks a few channels wide, by the same code."""

from __future__ import annotations

import pytest

WIDTHS = {
    "app.starter.autoencoder.CHANNELS": (8, 8, 8, 8),
    "app.starter.diffusion.CHANNELS": (8, 8, 16, 16),
    "app.starter.diffusion.HEADS": 2,
    "app.starter.diffusion.TEXT_WIDTH": 16,
    "app.starter.diffusion.TEXT_HEADS": 2,
    "app.starter.diffusion.TEXT_LAYERS": 1,
}


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Everything built from here on is tiny."""
    for name, value in WIDTHS.items():
        patch.setattr(name, value)
