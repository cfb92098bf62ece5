"""What other programs call samplers, schedules and model files, in A1111's names.

Only names: the programs' mathematics differ here and there. Knows no infotext.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.schema.choices import find_sampler, find_schedule
from app.schema.errors import UnknownChoice

_SAMPLERS: Final[Mapping[str, str]] = {
    "euler_ancestral": "Euler a",
    "euler_a": "Euler a",
    "heun": "Heun",
    "lms": "LMS",
    "dpm_2": "DPM2",
    "kdpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "kdpm_2_a": "DPM2 a",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_2s": "DPM++ 2S a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "lcm": "LCM",
    "ddim": "DDIM",
    "pndm": "PLMS",
    "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC",
}
"""ComfyUI's, Fooocus' and InvokeAI's names that are not A1111's aliases already."""
_SCHEDULES: Final[Mapping[str, str]] = {"ddim_uniform": "DDIM"}
_ENDINGS: Final = (".safetensors", ".ckpt", ".pt", ".bin", ".sft")
_PREFIX: Final = "k_"
# InvokeAI ends a name in `_k` for the Karras schedule; ComfyUI in `_gpu` where the noise is made there.
_KARRAS_ENDING: Final = "_k"
_GPU_ENDING: Final = "_gpu"


def a1111_names(sampler: str, schedule: str) -> tuple[str, str]:
    """A1111's (sampler, schedule); a name that it does not have stays as it is, "" stays "".

    A sampler given as the schedule alone, as InvokeAI does, is taken for the sampler.
    """
    if not sampler:
        sampler, schedule = schedule, ""
    name = sampler.strip().casefold().removesuffix(_GPU_ENDING)
    if name.endswith(_KARRAS_ENDING):
        name, schedule = name.removesuffix(_KARRAS_ENDING), schedule or "Karras"
    return _sampler(name) or sampler, _schedule(schedule) if schedule else ""


def file_stem(path: str) -> str:
    """The name of a model file without its folders, of either system, and without its ending."""
    file = path.replace("\\", "/").rpartition("/")[2]
    return next((file.removesuffix(ending) for ending in _ENDINGS if file.endswith(ending)), file)


def _sampler(name: str) -> str:
    for form in (name, name.removeprefix(_PREFIX)):
        if form in _SAMPLERS:
            return _SAMPLERS[form]
        try:
            return find_sampler(form).name
        except UnknownChoice:
            continue
    return ""


def _schedule(name: str) -> str:
    try:
        return find_schedule(_SCHEDULES.get(name, name)).label
    except UnknownChoice:
        return name
