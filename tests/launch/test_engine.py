"""What the memory route is told of the device, and that asking takes nothing from it."""

from __future__ import annotations

import pytest
import torch

from app.launch.engine import device_memory


def test_asking_for_the_memory_makes_no_context_on_a_device_that_nothing_draws_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: pytest.fail("this makes a context"))
    assert device_memory() == {"error": "unavailable"}


def test_the_memory_is_told_in_bytes_by_a1111s_names(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("active_bytes", "allocated_bytes", "reserved_bytes", "inactive_split_bytes")
    counted = {f"{kind}.all.{when}": number for kind in kinds for when, number in (("current", 3), ("peak", 5))}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(str(device)) or (60, 100))
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: {**counted, "num_alloc_retries": 1, "num_ooms": 2})
    told = device_memory("cuda:1")
    assert asked == ["cuda:1"]
    assert told["system"] == {"free": 60, "used": 40, "total": 100}
    assert all(told[kind] == {"current": 3, "peak": 5} for kind in ("active", "allocated", "reserved", "inactive"))
    assert told["events"] == {"retries": 1, "oom": 2}
