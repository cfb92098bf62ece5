"""Which formats a device computes in: half on a GPU, full on a CPU, and never fp16 on a CPU."""

from __future__ import annotations

import pytest
import torch

from app.models import choose_precision
from app.schema.errors import UnknownChoice

FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16


@pytest.mark.parametrize(
    ("device", "wanted", "flags", "expected"),
    [
        ("cpu", "", {}, (FP32, FP32, FP32)),
        ("cpu", "autocast", {}, (FP32, FP32, FP32)),
        ("cpu", "bf16", {}, (BF16, BF16, BF16)),
        ("cpu", "half", {}, (BF16, BF16, BF16)),
        ("cpu", "fp16", {"bf16": False}, (FP32, FP32, FP32)),
        ("cpu", "bf16", {"no_half": True}, (FP32, FP32, FP32)),
        ("cpu", "bf16", {"no_half_vae": True}, (BF16, BF16, FP32)),
        ("cuda", "", {}, (FP16, FP16, FP16)),
        ("cuda", "full", {}, (FP32, FP32, FP32)),
        ("cuda", "bf16", {}, (BF16, BF16, BF16)),
        ("cuda", "bf16", {"bf16": False}, (FP16, FP16, FP16)),
        ("cuda", "", {"no_half": True}, (FP32, FP32, FP32)),
        ("cuda", "", {"no_half_vae": True}, (FP16, FP16, FP32)),
    ],
)
def test_device_and_flags_decide(
    device: str, wanted: str, flags: dict[str, bool], expected: tuple[torch.dtype, ...]
) -> None:
    assert choose_precision(device, wanted, **flags) == expected


def test_no_flags_whatever_bring_fp16_to_a_cpu() -> None:
    for wanted in ("", "auto", "autocast", "full", "half", "fp32", "fp16", "bf16"):
        for bf16 in (True, False):
            assert FP16 not in choose_precision("cpu", wanted, bf16=bf16)


def test_the_name_is_the_infotexts() -> None:
    assert [choose_precision("cuda", word).name for word in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]


def test_another_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownChoice, match=r"no precision 'int4'.*autocast, full, fp32"):
        choose_precision("cpu", "int4")
