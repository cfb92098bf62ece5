"""Flags of a small card and of 8-bit weights become what the engine is made with."""

from __future__ import annotations

import pytest

from app.schema.flags import LaunchOptions


@pytest.mark.parametrize(
    ("flags", "thrift"),
    [
        ({}, ""),
        ({"medvram": True}, "medvram"),
        ({"medvram_sdxl": True}, "medvram-sdxl"),
        ({"medvram": True, "medvram_sdxl": True}, "medvram"),
        ({"medvram": True, "lowvram": True}, "lowvram"),
    ],
)
def test_the_most_sparing_flag_counts(flags: dict[str, bool], thrift: str) -> None:
    assert LaunchOptions(**flags).thrift == thrift


def test_the_eight_bit_format_is_named_by_its_flag() -> None:
    assert LaunchOptions().unet_in_fp8 == ""
    assert LaunchOptions(unet_in_fp8_e4m3fn=True).unet_in_fp8 == "e4m3fn"
    assert LaunchOptions(unet_in_fp8_e5m2=True).unet_in_fp8 == "e5m2"
