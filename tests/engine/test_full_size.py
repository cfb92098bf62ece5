"""Full-size checkpoints with random weights make a picture through the engine, with not a socket asked for."""

from __future__ import annotations

import resource
import socket
import time
from pathlib import Path

import pytest

from app.schema.events import RowFailed, RowFinished
from tests.engine.studio import GIGABYTE, Studio, pictures
from tests.models.checkpoints import write_tiny_checkpoint
from tests.models.test_full_size import FULL, METADATA

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "precision"), [("SD1.5", "fp32"), ("SD2.1-v", "fp32"), ("SD1.5-inpainting", "fp32"), ("SDXL", "bf16")]
)
def test_a_full_size_checkpoint_draws_offline(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SDXL in bf16, which a small machine has memory for."""
    family, widths = FULL[name]
    path = write_tiny_checkpoint(tmp_path / f"{name}.safetensors", family, metadata=METADATA.get(name), **widths)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    studio = Studio(budget=16 * GIGABYTE)
    began = time.perf_counter()
    events = studio.run(pictures("j", path, width=128, height=128, steps=1, precision=precision))
    seconds = time.perf_counter() - began
    print(f"\n{name} in {precision}: {seconds:.1f} s, {studio.pipelines.bytes() / 1e9:.2f} GB of models, ", end="")
    print(f"peak of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    path.unlink()
    assert [event.message for event in events if isinstance(event, RowFailed)] == []
    (picture,) = (event for event in events if isinstance(event, RowFinished))
    assert (picture.width, picture.height, len(picture.rgb)) == (128, 128, 128 * 128 * 3)
    assert len(set(picture.rgb)) > 1
    told = (("Conditional mask weight", "1.0"),) if "inpainting" in name else ()
    assert (picture.notices, picture.facts) == ((), told)
