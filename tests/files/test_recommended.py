"""What a checkpoint's header asks for becomes the fields of a fresh form; what no request may say does not."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from app.files import recommended


def asked(config: Any = None, family: str = "SD1", prediction: str = "", **metadata: str) -> dict[str, Any]:
    """What a file with this `easel.config` and this metadata recommends."""
    if config is not None:
        metadata["easel.config"] = config if isinstance(config, str) else json.dumps(config)
    file = SimpleNamespace(family=family, metadata=metadata, summary=SimpleNamespace(prediction=prediction))
    return recommended(file)  # type: ignore[arg-type]  # as much of a ModelFile as is looked at


@pytest.mark.parametrize(
    ("family", "prediction", "side"), [("SD1", "", 512), ("SD2", "v", 768), ("SD2", "epsilon", 512), ("SDXL", "", 1024)]
)
def test_a_file_that_says_nothing_has_its_familys_size(family: str, prediction: str, side: int) -> None:
    assert asked(family=family, prediction=prediction) == {"width": side, "height": side}


def test_the_resolution_of_the_model_spec_is_read() -> None:
    assert asked(**{"modelspec.resolution": "640x448"}) == {"width": 640, "height": 448}


def test_the_files_own_config_wins_over_the_model_spec() -> None:
    config = {"width": 128, "height": 96, "steps": 8, "cfg_scale": 2, "sampler": "LCM", "unet": {}}
    assert asked(config, **{"modelspec.resolution": "640x448"}) == {
        "width": 128,
        "height": 96,
        "steps": 8,
        "cfg_scale": 2,
        "sampler": "LCM",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"width": 1_000_000, "height": 128},
        {"width": True, "height": 128},
        {"steps": 0},
        {"steps": "20"},
        {"sampler": "No such sampler"},
        {"sampler": ["Euler"]},
        '{"cfg_scale": NaN}',
        '{"cfg_scale": 1e999}',
        "no JSON",
        "[" * 100_000,
        [1, 2],
    ],
)
def test_what_no_request_may_say_is_passed_over(config: Any) -> None:
    assert asked(config) == {"width": 512, "height": 512}


def test_an_impossible_resolution_of_the_model_spec_is_passed_over() -> None:
    assert asked(**{"modelspec.resolution": "99999x99999"}) == {"width": 512, "height": 512}
