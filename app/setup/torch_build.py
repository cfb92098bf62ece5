"""Which build of torch suits this machine, and where pip gets it: the user's word first, else what the card needs.

torch 2.13 is built for CPU, CUDA 12.6 (cards from Maxwell to Hopper) and CUDA 13.0 (from Turing on; drivers from 580).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.setup.graphics import Card

BUILDS = "https://download.pytorch.org/whl/"
CUDA_13_CAPABILITY = (7, 5)
CUDA_13_DRIVER = 580
CUDA_12_END = (10, 0)


class TorchBuild(NamedTuple):
    """What to do about torch before the other packages.

    words: for the terminal, one sentence. command: the user's own pip words, or None. source: an index that holds the
    wanted build alone, or None for pip's own sources. required: without it the installation must stop.
    """

    words: str
    command: str | None = None
    source: str | None = None
    required: bool = True


def torch_build(
    environ: Mapping[str, str], platform: str, cards: Sequence[Card], amd: bool = False, own_sources: bool = False
) -> TorchBuild:
    """The build for a machine; platform as in sys.platform.

    own_sources: pip has been told where to look (a mirror, a folder of wheels), so no other place is tried for a CPU
    build, which the default source would serve as well.
    """
    if command := environ.get("TORCH_COMMAND", "").strip():
        return TorchBuild("torch comes from TORCH_COMMAND.", command=command)
    if source := environ.get("TORCH_INDEX_URL", "").strip():
        return TorchBuild(f"torch comes from TORCH_INDEX_URL ({source}).", source=source)
    if platform == "darwin":
        return TorchBuild("torch: the build for macOS.")
    if cards:
        return _cuda_build(platform, cards)
    if amd:
        return TorchBuild(
            "An AMD card: torch's default build cannot use it. Set TORCH_INDEX_URL to the ROCm build of torch 2.13 "
            f"({BUILDS}rocm...) and start with --reinstall-torch."
        )
    if platform == "win32" or own_sources:
        return TorchBuild("No NVIDIA card found; torch as pip's own sources have it.")
    return TorchBuild("No NVIDIA card found; torch's CPU build.", source=BUILDS + "cpu", required=False)


def _cuda_build(platform: str, cards: Sequence[Card]) -> TorchBuild:
    """The newest CUDA build that all cards can use; PyPI's own Linux build is the one for CUDA 13.0."""
    weakest = min(cards, key=lambda card: card.capability)
    strongest = max(cards, key=lambda card: card.capability)
    driver = weakest.driver[0] if weakest.driver else 0
    old_driver = f"driver {driver}, and CUDA 13 wants {CUDA_13_DRIVER}" if driver < CUDA_13_DRIVER else ""
    old_card = "compute capability below 7.5" if (0, 0) < weakest.capability < CUDA_13_CAPABILITY else ""
    reason = old_card or old_driver
    if reason and strongest.capability < CUDA_12_END:
        return TorchBuild(f"{weakest.name} ({reason}): torch's CUDA 12.6 build.", source=BUILDS + "cu126")
    words = f"{strongest.name}: torch's CUDA 13.0 build."
    if old_card:
        words += f" {weakest.name} stays unused: {old_card}."
    if old_driver:
        words += f" It needs a newer NVIDIA driver ({old_driver})."
    return TorchBuild(words, source=BUILDS + "cu130" if platform == "win32" else None)
