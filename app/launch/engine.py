"""Makes the engine on the device that the flags name; the only place that brings torch in, and late.

The page answers before torch is imported: both are called on threads of their own, when a picture is wanted.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any

from app.extension_host import ExtensionHost
from app.jobs import BeforeGroup, Engine
from app.schema.flags import LaunchOptions

logger = logging.getLogger(__name__)


def make_engine(options: LaunchOptions, extensions: ExtensionHost, before_group: BeforeGroup) -> Engine:
    """The engine on the device that the flags name; called on the engine's thread. Imports torch."""
    # Late on purpose: the page answers before torch is imported.
    from app.engine import Engine as TorchEngine  # noqa: PLC0415
    from app.engine import Loading, PipelineManager, Runner, Scheduler  # noqa: PLC0415
    from app.language import Tokenizer  # noqa: PLC0415
    from app.models import choose_device, memory_of  # noqa: PLC0415
    from app.recipes import generate  # noqa: PLC0415

    extensions.load_for_engine()
    device = choose_device(options.wanted_device)
    logger.info("Drawing on %s", device)
    loading = Loading(device, no_half=options.no_half, no_half_vae=options.no_half_vae)
    return TorchEngine(
        PipelineManager(loading, budget=memory_of(device) // 2),
        generate,
        scheduler=Scheduler(),
        runner=Runner(Tokenizer()),
        before_group=before_group,
    )


class Precision:
    """What a request's precision comes to on this machine, so that the infotext says what was computed in.

    Asks torch, and so is slow the first time; a job that was just submitted wants torch anyway.
    """

    def __init__(self, options: LaunchOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def __call__(self, wanted: str) -> str:
        """'fp32', 'bf16' or 'fp16' for one of these words or 'auto', which means the flags'."""
        with self._lock:
            if wanted not in self._known:
                self._known[wanted] = self._find(wanted)
            return self._known[wanted]

    def _find(self, wanted: str) -> str:
        options = self._options
        # Late on purpose: the page answers before torch is imported.
        from app.models import choose_device, choose_precision  # noqa: PLC0415

        device = choose_device(options.wanted_device)
        word = options.wanted_precision if wanted == "auto" else wanted
        return choose_precision(device.type, word, no_half=options.no_half).name


def device_memory() -> Mapping[str, Any]:
    """A1111's `cuda` part of the memory route, in bytes; asks torch only where it is imported already."""
    if "torch" not in sys.modules:
        return {"error": "unavailable"}
    # Not new, but perhaps half done on the engine's thread: this waits until it is whole.
    import torch  # noqa: PLC0415

    # Where nothing draws on CUDA yet, asking would make a context and take some hundred megabytes for it.
    if not torch.cuda.is_initialized():
        return {"error": "unavailable"}
    free, total = torch.cuda.mem_get_info()
    counted = torch.cuda.memory_stats()
    kinds = {"active": "active_bytes", "allocated": "allocated_bytes", "reserved": "reserved_bytes"}
    return {
        "system": {"free": free, "used": total - free, "total": total},
        **{
            name: {"current": counted[f"{key}.all.current"], "peak": counted[f"{key}.all.peak"]}
            for name, key in kinds.items()
        },
        "inactive": {
            "current": counted["inactive_split_bytes.all.current"],
            "peak": counted["inactive_split_bytes.all.peak"],
        },
        "events": {"retries": counted["num_alloc_retries"], "oom": counted["num_ooms"]},
    }
