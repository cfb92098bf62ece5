"""Types are converted as torch converts them, bit for bit, and numbers that are none are counted."""

from __future__ import annotations

import numpy
import pytest
import torch

from app.files.number_formats import FLOATS, TARGETS, Unfinite, converted, count_unfinite, raw_type

TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}


def every_kind_of_number(dtype: str) -> numpy.ndarray:
    """All codes of the narrow types; of the wide ones random bits, ties, edges and NaNs."""
    kind = raw_type(dtype)
    if kind.itemsize <= 2:
        return numpy.arange(2 ** (8 * kind.itemsize), dtype=kind)
    random = numpy.random.default_rng(7)
    bits = random.integers(0, 2 ** (8 * kind.itemsize) - 1, 20_000, dtype=kind, endpoint=True)
    floats = numpy.concatenate(
        [
            random.normal(0, 1, 5000),
            random.normal(0, 1e-7, 5000),
            [0.0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 65504, 65519.99, 65520, 3.4e38, 1e-45, 2**-24, 2**-25],
            [numpy.inf, -numpy.inf, numpy.nan, 1 + 2**-8 + 2**-40, 1 + 2**-8 - 2**-40, 1 + 2**-11 + 2**-45],
        ]
    )
    with numpy.errstate(over="ignore"):
        return numpy.concatenate([bits, floats.astype("<f4" if dtype == "F32" else "<f8").view(kind)])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_every_number_becomes_the_one_that_torch_makes_of_it(dtype: str, target: str) -> None:
    raw = every_kind_of_number(dtype)
    ours = torch.from_numpy(converted(raw, dtype, target).view(numpy.uint8)).view(TORCH[target])
    source = torch.from_numpy(raw.view(numpy.uint8)).view(TORCH[dtype])
    theirs = source.to(TORCH[target])
    if dtype == "F64" and target != "F32":
        theirs = nearest(source, theirs)  # torch rounds twice here, and so may miss the nearest
    numbers = ~torch.isnan(theirs)
    assert torch.equal(torch.isnan(ours), ~numbers)
    assert torch.equal(ours[numbers].view(torch.uint8), theirs[numbers].view(torch.uint8))


def nearest(values: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
    """Of a guess and its two neighbours the one nearest to each number, the even one of two that are equally near."""
    codes = guess.view(torch.int16)
    best, distance = codes.clone(), torch.full_like(values, torch.inf)
    beyond = 2.0 ** (16 if guess.dtype == torch.float16 else 128)  # where the next number after the largest would be
    for step in (-1, 0, 1):
        code = codes + step
        number = code.view(guess.dtype).double()
        number = torch.where(torch.isinf(number), torch.copysign(torch.full_like(number, beyond), number), number)
        away = (number - values.clamp(-2 * beyond, 2 * beyond)).abs()
        away[torch.signbit(number) != torch.signbit(values)] = torch.inf
        better = (away < distance) | ((away == distance) & (code % 2 == 0))
        best, distance = torch.where(better, code, best), torch.where(better, away, distance)
    return torch.where(values.isfinite(), best, codes).view(guess.dtype)


@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_numbers_that_are_none_are_counted(dtype: str) -> None:
    raw = every_kind_of_number(dtype)
    numbers = torch.from_numpy(raw.view(numpy.uint8)).view(TORCH[dtype]).double()
    expected = Unfinite(int(torch.isnan(numbers).sum()), int(torch.isinf(numbers).sum()))
    assert count_unfinite(raw, dtype) == expected
    assert expected.nan > 0


def test_whole_numbers_are_always_numbers() -> None:
    assert count_unfinite(numpy.array([2**64 - 1, 0], "<u8"), "I64") == Unfinite(0, 0)
