"""An image's noise is A1111's to the last bit, for every source, variation, seed resize and ENSD."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from app.samplers import ImageNoise, NoiseOptions
from app.samplers.noise import paste_centre, slerp
from app.samplers.philox import PhiloxGenerator, philox_words
from tests.samplers.formula import GOLDEN, rows

RECORDED = np.load(GOLDEN / "noise.npz")
DRAWS = [case for case in rows("noise.json") if "draw" in case]
MIXES = [case for case in rows("noise.json") if "val" in case]


def image_noise(case: dict[str, Any], image: int) -> ImageNoise:
    seeds = case.get("seeds", [case.get("seed")])
    subseeds = case.get("subseeds", [case.get("subseed", 0)])
    resize = None
    if "seed_resize_from_w" in case:
        resize = (case["seed_resize_from_h"] // 8, case["seed_resize_from_w"] // 8)
    options = NoiseOptions(
        source=case["source"],
        variation_seed=subseeds[min(image, len(subseeds) - 1)],
        variation_strength=case.get("subseed_strength", 0.0),
        resize_from=resize,
        ensd=case.get("eta_noise_seed_delta", 0),
    )
    channels, height, width = case["shape"][-3:]
    return ImageNoise(seeds[image], (channels, height, width), options)


@pytest.mark.parametrize("case", DRAWS, ids=lambda case: case["key"])
def test_a_draw_is_the_recorded_one(case: dict[str, Any]) -> None:
    """The images of a batch are made one by one here: that they agree shows that a batch equals its images alone."""
    images = []
    for image in range(len(case.get("seeds", [0]))):
        noise = image_noise(case, image)
        draws = [noise.first_noise(), *(noise.next() for _ in range(case["draw"]))]
        images.append(draws[-1])
    result = torch.cat(images).numpy().reshape(case["shape"])
    assert np.abs(result.ravel()[:64] - RECORDED[case["key"]]).max() < 1e-6
    assert hashlib.sha256(result.astype("<f4").tobytes()).hexdigest() == case["sha256_f32le"]


@pytest.mark.parametrize("case", MIXES, ids=lambda case: case["key"])
def test_two_noises_mix_as_recorded(case: dict[str, Any]) -> None:
    low, high = (ImageNoise(seed, (4, 8, 8), NoiseOptions(case["source"])).first_noise()[0] for seed in (5, 6))
    result = slerp(case["val"], low, high).numpy()
    assert hashlib.sha256(result.astype("<f4").tobytes()).hexdigest() == case["sha256_f32le"]


def test_nearly_parallel_noises_mix_linearly_and_the_other_way_round() -> None:
    low = torch.ones(1, 4, 4)
    assert torch.allclose(slerp(0.25, low, 2 * low), 0.25 * low + 0.75 * 2 * low)


def test_the_first_noise_is_the_same_at_every_call_and_does_not_advance_the_stream() -> None:
    asked_twice, asked_once = ImageNoise(3, (4, 8, 8)), ImageNoise(3, (4, 8, 8))
    assert torch.equal(asked_twice.first_noise(), asked_twice.first_noise())
    assert torch.equal(asked_twice.next(), asked_once.next())


def test_ensd_changes_later_draws_and_not_the_first() -> None:
    plain, shifted = ImageNoise(3, (4, 8, 8)), ImageNoise(3, (4, 8, 8), NoiseOptions(ensd=10))
    assert torch.equal(plain.first_noise(), shifted.first_noise())
    assert torch.equal(shifted.next(), ImageNoise(13, (4, 8, 8)).first_noise())


def test_the_noise_of_one_image_does_not_touch_torchs_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    noise = ImageNoise(3, (4, 8, 8), NoiseOptions(variation_seed=1, variation_strength=0.5))
    noise.next()
    noise.brownian(0.03, 14.6)(14.6, 3.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gpu_source_is_the_devices_own_generator() -> None:
    assert torch.equal(
        ImageNoise(3, (4, 8, 8), NoiseOptions("GPU")).first_noise(), ImageNoise(3, (4, 8, 8)).first_noise()
    )


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="CPU, GPU or NV"):
        ImageNoise(3, (4, 8, 8), NoiseOptions("TPU"))


def test_draws_are_batches_of_one_in_float32() -> None:
    for source in ("CPU", "NV", "GPU"):
        noise = ImageNoise(3, (4, 8, 6), NoiseOptions(source))
        for draw in (noise.first_noise(), noise.next(), noise.brownian(0.03, 14.6)(14.6, 3.0)):
            assert draw.shape == (1, 4, 8, 6)
            assert draw.dtype == torch.float32


def test_a_noise_is_pasted_in_the_middle_or_cut_to_fit() -> None:
    frame = torch.zeros(1, 4, 4)
    small = torch.ones(1, 2, 2)
    assert paste_centre(small, frame).sum() == 4
    assert paste_centre(small, frame)[0, 1:3, 1:3].sum() == 4
    tall = torch.arange(8.0).reshape(1, 8, 1).expand(1, 8, 2)
    assert paste_centre(tall, frame)[0, :, 1].tolist() == [2, 3, 4, 5]
    assert frame.sum() == 0


def test_philox_gives_the_recorded_words() -> None:
    counter = np.zeros((4, 4), dtype=np.uint32)
    counter[2] = np.arange(4)
    assert np.array_equal(philox_words(counter, 42), RECORDED["philox_raw/seed42_offset0_first4"])


def test_philox_gives_the_published_words() -> None:
    """Known answers of Random123, the authors' library, for philox4x32-10."""
    zeros, ones = np.zeros((4, 1), dtype=np.uint32), np.full((4, 1), 0xFFFFFFFF, dtype=np.uint32)
    assert [hex(word) for word in philox_words(zeros, 0)[:, 0]] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]
    expected = ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]
    assert [hex(word) for word in philox_words(ones, 0xFFFFFFFFFFFFFFFF)[:, 0]] == expected


def test_nv_noise_begins_as_cudas_does() -> None:
    generator = PhiloxGenerator(0)
    assert generator.randn((4,)).tolist() == pytest.approx([-0.92466, -0.42534, -2.64385, 0.14519], abs=1e-5)
    assert generator.randn((4,)).tolist() == pytest.approx([0.18083, -0.55226, 0.92381, -0.73497], abs=1e-5)
    large = PhiloxGenerator(1234567890123).randn((4,))
    assert large.tolist() == pytest.approx([0.47459, 0.83968, -0.76428, -1.03882], abs=1e-5)
