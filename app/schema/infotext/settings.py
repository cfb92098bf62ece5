"""A1111's settings that infotexts carry, and which of them a text overrides.

In A1111's order. The HTTP routes speak of these; our own requests have fields in their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

SettingValue = bool | int | float | str | None


class InfotextSetting(NamedTuple):
    """key: in infotexts. setting: in /sdapi/v1/options. default: its value at first; its type is the setting's."""

    key: str
    setting: str
    default: SettingValue


class Override(NamedTuple):
    """A setting that a pasted text asks for, as A1111's box 'Override settings' holds it."""

    key: str
    setting: str
    value: SettingValue


INFOTEXT_SETTINGS: Final[tuple[InfotextSetting, ...]] = (
    InfotextSetting("Face restoration", "face_restoration", False),
    InfotextSetting("Model hash", "sd_model_checkpoint", None),
    InfotextSetting("Emphasis", "emphasis", "Original"),
    InfotextSetting("Clip skip", "CLIP_stop_at_last_layers", 1),
    InfotextSetting("RNG", "randn_source", "GPU"),
    InfotextSetting("Tiling", "tiling", False),
    InfotextSetting("Hires refiner", "hires_fix_refiner_pass", "second pass"),
    InfotextSetting("VAE", "sd_vae", "Automatic"),
    InfotextSetting("VAE Encoder", "sd_vae_encode_method", "Full"),
    InfotextSetting("VAE Decoder", "sd_vae_decode_method", "Full"),
    InfotextSetting("Conditional mask weight", "inpainting_mask_weight", 1.0),
    InfotextSetting("Noise multiplier", "initial_noise_multiplier", 1.0),
    InfotextSetting("Extra noise", "img2img_extra_noise", 0.0),
    InfotextSetting("NGMS", "s_min_uncond", 0.0),
    InfotextSetting("NGMS all steps", "s_min_uncond_all", False),
    InfotextSetting("Token merging ratio", "token_merging_ratio", 0.0),
    InfotextSetting("Token merging ratio hr", "token_merging_ratio_hr", 0.0),
    InfotextSetting("Pad conds", "pad_cond_uncond", False),
    InfotextSetting("Pad conds v0", "pad_cond_uncond_v0", False),
    InfotextSetting("Old prompt editing timelines", "use_old_scheduling", False),
    InfotextSetting("Downcast alphas_cumprod", "use_downcasted_alpha_bar", False),
    InfotextSetting("Refiner switch by sampling steps", "refiner_switch_by_sample_steps", False),
    InfotextSetting("Eta DDIM", "eta_ddim", 0.0),
    InfotextSetting("Eta", "eta_ancestral", 1.0),
    InfotextSetting("Sigma churn", "s_churn", 0.0),
    InfotextSetting("Sigma tmin", "s_tmin", 0.0),
    InfotextSetting("Sigma tmax", "s_tmax", 0.0),
    InfotextSetting("Sigma noise", "s_noise", 1.0),
    InfotextSetting("Schedule min sigma", "sigma_min", 0.0),
    InfotextSetting("Schedule max sigma", "sigma_max", 0.0),
    InfotextSetting("Schedule rho", "rho", 0.0),
    InfotextSetting("ENSD", "eta_noise_seed_delta", 0),
    InfotextSetting("Discard penultimate sigma", "always_discard_next_to_last_sigma", False),
    InfotextSetting("SGM noise multiplier", "sgm_noise_multiplier", False),
    InfotextSetting("UniPC variant", "uni_pc_variant", "bh1"),
    InfotextSetting("UniPC skip type", "uni_pc_skip_type", "time_uniform"),
    InfotextSetting("UniPC order", "uni_pc_order", 3),
    InfotextSetting("UniPC lower order final", "uni_pc_lower_order_final", True),
    InfotextSetting("Noise Schedule", "sd_noise_schedule", "Default"),
    InfotextSetting("Skip Early CFG", "skip_early_cond", 0.0),
    InfotextSetting("Beta scheduler alpha", "beta_dist_alpha", 0.6),
    InfotextSetting("Beta scheduler beta", "beta_dist_beta", 0.6),
)
CHECKPOINT_SETTING: Final = "sd_model_checkpoint"
DEFAULT_SETTINGS: Final[Mapping[str, SettingValue]] = {entry.setting: entry.default for entry in INFOTEXT_SETTINGS}


def override_settings(
    parameters: Mapping[str, object],
    current: Mapping[str, SettingValue] = DEFAULT_SETTINGS,
    *,
    skip: Iterable[str] = (),
    with_checkpoint: bool = False,
) -> list[Override]:
    """The settings in an infotext's parameters that differ from the current ones, in A1111's order.

    skip: keys that fields of the page take. with_checkpoint: the reverse of A1111's 'disable_weights_auto_swap', which
    leaves the checkpoint out. A value that its setting cannot hold is left out.
    """
    skipped = frozenset(skip)
    found: list[Override] = []
    for key, setting, _ in INFOTEXT_SETTINGS:
        given = parameters.get(key)
        if given is None or key in skipped or (setting == CHECKPOINT_SETTING and not with_checkpoint):
            continue
        present = current.get(setting)
        value = cast_setting(given, present)
        if value is not None and value != present:
            found.append(Override(key, setting, value))
    return found


def settings_of(
    pairs: Iterable[str], current: Mapping[str, SettingValue] = DEFAULT_SETTINGS
) -> dict[str, SettingValue]:
    """Setting -> value for texts such as `Clip skip: 2`; unknown keys and values that cannot be read are left out.

    A setting whose current value is None (no checkpoint yet) gets None, as in A1111.
    """
    given = {key.strip(): value.strip() for key, _, value in (pair.partition(":") for pair in pairs)}
    known = ((setting, given[key]) for key, setting, _ in INFOTEXT_SETTINGS if key in given)
    found = {setting: (cast_setting(text, current.get(setting)), current.get(setting)) for setting, text in known}
    return {setting: value for setting, (value, present) in found.items() if value is not None or present is None}


def cast_setting(value: object, like: SettingValue) -> SettingValue:
    """A value in the type of another: text "False" is False, other text True; None where there is no way."""
    if isinstance(like, bool):
        return value != "False" and bool(value)
    try:
        if isinstance(like, int):
            return int(str(value))
        if isinstance(like, float):
            return float(str(value))
    except ValueError:
        return None
    return str(value) if isinstance(like, str) else None
