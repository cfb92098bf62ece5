"""An upscaler: every pixel becomes four. Needs torch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def doubled(pixels: Tensor, factor: float, tell: Callable[[int, int], None]) -> Tensor:
    """[3, H, W] uint8 -> twice as high and wide; asked again while that is not large enough."""
    tell(1, 1)
    return pixels.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
