"""Makes the engine on the device that the flags name; the only place that brings torch in, and late.

The page answers before torch is imported: both are called on threads of their own, when a picture is wanted.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.extension_host import ExtensionHost
from app.files import Blobs, Steps, open_picture
from app.jobs import BeforeGroup, Engine
from app.launch.extensions import network_kinds_of, tables_of, upscalers_of
from app.schema.flags import LaunchOptions
from app.schema.request import ImagePlan

if TYPE_CHECKING:
    from PIL.Image import Image

    from app.recipes import Recipe, Tools

logger = logging.getLogger(__name__)

HOST_SHARE = 0.5
CARD_SHARE = 0.75
"""Of the machine's memory and of a graphics card's: what models may take. The rest is for pictures in work."""


def make_engine(
    options: LaunchOptions,
    extensions: ExtensionHost,
    blobs: Blobs,
    before_group: BeforeGroup,
    *,
    preview_decoders: Callable[[], Sequence[Path]] = lambda: (),
    steps: Steps | None = None,
) -> Engine:
    """The engine on the device that the flags name; called on the engine's thread. Imports torch.

    preview_decoders: files that live previews are to be decoded with, none for the cheap way. steps: keeps finished
    parts of pictures in work; None keeps none.
    """
    # Late on purpose: the page answers before torch is imported.
    from app.engine import Engine as TorchEngine  # noqa: PLC0415
    from app.engine import (  # noqa: PLC0415
        FaceShelf,
        Loading,
        PipelineManager,
        PreviewShelf,
        Runner,
        Scheduler,
        Tier,
        UpscalerShelf,
    )
    from app.language import Tokenizer  # noqa: PLC0415
    from app.models import choose_device, eight_bit_format, host_memory, memory_of  # noqa: PLC0415
    from app.networks import NetworkSet  # noqa: PLC0415
    from app.recipes import draw, with_stages  # noqa: PLC0415

    extensions.load_for_engine()
    tokenizer = Tokenizer()
    device = choose_device(options.wanted_device)
    logger.info("Drawing on %s", device)
    loading = Loading(
        device,
        no_half=options.no_half,
        no_half_vae=options.no_half_vae,
        eight_bits=eight_bit_format(options.unet_in_fp8) if options.unet_in_fp8 else None,
        attention="xformers" if options.xformers else "sdpa",
    )
    own = 0 if device.type in ("cpu", "mps") else memory_of(device)
    machine = host_memory()
    pipelines = PipelineManager(
        loading,
        device=device,
        host=Tier(0 if options.lowram and own else int(machine * HOST_SHARE), machine),
        card=Tier(int(own * CARD_SHARE), own) if own else None,
        thrift=options.thrift if own else "",
        networks=NetworkSet(tokenizer.encode, network_kinds_of(extensions.registry)),
    )

    def picture(digest: str) -> Image:
        return open_picture(blobs.read(digest))

    tables = tables_of(extensions.registry)
    registry = extensions.registry
    staged = with_stages(draw, registry.owners("register_stages"), registry.owners("register_guides"), registry.guard)

    def recipe(plan: ImagePlan, tools: Tools) -> Recipe:
        tools = replace(tools, picture=picture, tables=tables)
        if steps is not None:
            kept, keep = partial(steps.read, plan.job, plan.image), partial(steps.write, plan.job, plan.image)
            tools = replace(tools, kept=kept, keep=keep)
        return staged(plan, tools)

    return TorchEngine(
        pipelines,
        recipe,
        scheduler=Scheduler(),
        runner=Runner(tokenizer, pipelines.offload),
        upscalers=UpscalerShelf(device, pipelines.offload, brought=upscalers_of(extensions.registry)),
        faces=FaceShelf(device, pipelines.offload),
        previews=PreviewShelf(device, preview_decoders),
        before_group=before_group,
        facts=(("FP8 weight", "Enable"),) if options.unet_in_fp8 else (),
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


def device_memory(wanted: str | None = None) -> Mapping[str, Any]:
    """A1111's `cuda` part of the memory route, in bytes; asks torch only where it is imported already.

    wanted: the device that the flags name; torch's current one where they name none.
    """
    if "torch" not in sys.modules:
        return {"error": "unavailable"}
    # Not new, but perhaps half done on the engine's thread: this waits until it is whole.
    import torch  # noqa: PLC0415

    # Where nothing draws on CUDA yet, asking would make a context and take some hundred megabytes for it.
    if not torch.cuda.is_initialized():
        return {"error": "unavailable"}
    device = torch.device(wanted or "cuda")
    if device.type != "cuda":
        return {"error": "unavailable"}
    free, total = torch.cuda.mem_get_info(device)
    counted = torch.cuda.memory_stats(device)
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
