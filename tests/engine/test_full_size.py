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


@pytest.mark.parametrize("name", ["SD1.5", "SD2.1-v", "SD1.5-inpainting", "SDXL"])
def test_a_full_size_checkpoint_draws_offline(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32, of SDXL 14 GB: where a CPU does not compute in bf16, that takes an hour and this a minute."""
    family, widths = FULL[name]
    path = write_tiny_checkpoint(tmp_path / f"{name}.safetensors", family, metadata=METADATA.get(name), **widths)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    studio = Studio(budget=16 * GIGABYTE)
    began = time.perf_counter()
    events = studio.run(pictures("j", path, width=128, height=128, steps=1))
    seconds = time.perf_counter() - began
    print(f"\n{name}: {seconds:.1f} s, {studio.pipelines.bytes() / 1e9:.2f} GB of models, ", end="")
    print(f"peak of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    path.unlink()
    assert [event.message for event in events if isinstance(event, RowFailed)] == []
    (picture,) = (event for event in events if isinstance(event, RowFinished))
    assert (picture.width, picture.height, len(picture.rgb)) == (128, 128, 128 * 128 * 3)
    assert len(set(picture.rgb)) > 1
    told = (("Conditional mask weight", "1.0"),) if "inpainting" in name else ()
    assert (picture.notices, picture.facts) == ((), told)
