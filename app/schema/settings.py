"""Settings: what a site and each of its users prefer, in layers: factory < site < user.

Nothing here changes a picture by itself: front ends fill requests with these values. Names are A1111's where it has
them. Knows files of its own and nothing of who asks.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.schema.choices import find_sampler, split_sampler_name
from app.schema.control import Control, controls_of
from app.schema.errors import CannotWrite, DiskFull, InvalidField, UnknownChoice, UnknownSetting
from app.schema.problems import first_problem
from app.schema.request import GenerationRequest

logger = logging.getLogger(__name__)

KEPT_VERSIONS = 10


def _field(name: str) -> Any:
    """A setting that fills a field of the request: its default, its limits and how it shows itself."""
    return GenerationRequest.model_fields[name]


class SettingValues(BaseModel):
    """One whole set of values. Controls name the setting; `infotext` binds it to a key of pasted infotexts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sd_model_checkpoint: str = _field("checkpoint")
    sd_vae: str = _field("vae")
    sd_text_encoder: str = _field("text_encoder")
    CLIP_stop_at_last_layers: int = _field("clip_skip")
    sdxl_clip_l_skip: bool = _field("sdxl_clip_l_skip")
    emphasis: Literal["Original", "No norm", "Ignore", "None"] = _field("emphasis")
    enable_prompt_comments: bool = _field("prompt_comments")
    comma_padding_backtrack: int = _field("comma_backtrack")
    use_old_scheduling: bool = _field("old_prompt_editing")
    sdxl_crop_top: int = _field("crop_top")
    sdxl_crop_left: int = _field("crop_left")
    sdxl_refiner_high_aesthetic_score: float = _field("aesthetic_score")
    sdxl_refiner_low_aesthetic_score: float = _field("negative_aesthetic_score")
    randn_source: Literal["CPU", "GPU", "NV"] = _field("noise_source")
    eta_noise_seed_delta: int = _field("noise_seed_delta")
    eta_ancestral: Annotated[
        float, Field(ge=0, le=10), Control("Eta for k-diffusion samplers", "", 0, 1, 0.01, infotext="Eta")
    ] = 1.0
    eta_ddim: Annotated[float, Field(ge=0, le=10), Control("Eta for DDIM", "", 0, 1, 0.01, infotext="Eta DDIM")] = 0.0
    s_churn: float = _field("s_churn")
    s_tmin: float = _field("s_tmin")
    s_tmax: float = _field("s_tmax")
    s_noise: float = _field("s_noise")
    sigma_min: float = _field("sigma_min")
    sigma_max: float = _field("sigma_max")
    rho: float = _field("rho")
    use_old_karras_scheduler_sigmas: bool = _field("old_karras_sigmas")
    always_discard_next_to_last_sigma: bool = _field("discard_next_to_last_sigma")
    sgm_noise_multiplier: bool = _field("sgm_noise_multiplier")
    enable_quantization: bool = _field("quantize_timesteps")
    sd_noise_schedule: Literal["Default", "Zero Terminal SNR"] = _field("noise_schedule")
    use_downcasted_alpha_bar: bool = _field("downcast_alphas")
    beta_dist_alpha: float = _field("beta_alpha")
    beta_dist_beta: float = _field("beta_beta")
    uni_pc_variant: Literal["bh1", "bh2", "vary_coeff"] = _field("unipc_variant")
    uni_pc_skip_type: Literal["time_uniform", "time_quadratic", "logSNR"] = _field("unipc_skip_type")
    uni_pc_order: int = _field("unipc_order")
    uni_pc_lower_order_final: bool = _field("unipc_lower_order_final")
    s_min_uncond: float = _field("guidance_minimum_sigma")
    s_min_uncond_all: bool = _field("guidance_minimum_all_steps")
    skip_early_cond: float = _field("skip_early_guidance")
    pad_cond_uncond: bool = _field("pad_prompts")
    pad_cond_uncond_v0: bool = _field("pad_prompts_v0")
    inpainting_mask_weight: float = _field("inpainting_mask_weight")
    upscaler_for_img2img: str = _field("resize_upscaler")
    initial_noise_multiplier: float = _field("noise_multiplier")
    img2img_extra_noise: float = _field("extra_noise")
    img2img_fix_steps: bool = _field("exact_steps")
    img2img_background_color: str = _field("background_color")
    img2img_color_correction: bool = _field("color_correction")
    overlay_inpaint: bool = _field("overlay_original")
    token_merging_ratio: float = _field("token_merging_ratio")
    tiling: bool = _field("tiling")
    samples_save: Annotated[bool, Control("Save pictures", "off: kept for a day only")] = True
    samples_format: Annotated[
        Literal["png", "jpg", "jpeg", "webp", "avif", "gif"], Control("File format for pictures")
    ] = "png"
    samples_filename_pattern: Annotated[str, Control("File name pattern", "as [seed]-[prompt_spaces]")] = ""
    save_images_add_number: Annotated[bool, Control("Put a number before the file name")] = True
    save_to_dirs: Annotated[bool, Control("Save pictures to sub-folders")] = True
    directories_filename_pattern: Annotated[str, Control("Sub-folder pattern", "as [date]")] = "[date]"
    outdir_txt2img_samples: Annotated[str, Control("Folder for txt2img pictures")] = "outputs/txt2img-images"
    outdir_img2img_samples: Annotated[str, Control("Folder for img2img pictures")] = "outputs/img2img-images"
    jpeg_quality: Annotated[int, Field(ge=1, le=100), Control("Quality of JPEG, WebP and AVIF", "", 1, 100, 1)] = 80
    webp_lossless: Annotated[bool, Control("Lossless WebP")] = False
    enable_pnginfo: Annotated[bool, Control("Write the infotext into the file")] = True
    save_txt: Annotated[bool, Control("Write the infotext into a text file beside it")] = False
    disable_weights_auto_swap: Annotated[
        bool, Control("Leave the checkpoint as it is when an infotext is pasted", "off: the one it names is chosen")
    ] = False
    infotext_styles: Annotated[
        Literal["Ignore", "Apply", "Discard", "Apply if any"],
        Control(
            "Styles in pasted prompts", "Ignore: left in the text. Apply: chosen again, or none. Discard: only cut out"
        ),
    ] = "Apply if any"
    send_seed: Annotated[bool, Control("Send the seed along with a picture")] = True
    send_size: Annotated[bool, Control("Send the size along with a picture")] = True
    disabled_extensions: Annotated[
        tuple[str, ...], Control("Extensions that are not loaded", "takes effect at the next start")
    ] = ("example",)
    disable_all_extensions: Annotated[
        Literal["none", "extra", "all"], Control("Disable all extensions", "extra: those that did not come with Easel")
    ] = "none"
    live_previews_enable: Annotated[bool, Control("Show live previews")] = True
    show_progress_type: Annotated[
        Literal["Approx cheap", "TAESD"],
        Control("Live previews are made by", "TAESD: sharper and slower, where its decoder lies in models/VAE-approx"),
    ] = "Approx cheap"


FACTORY = SettingValues()
Values = dict[str, Any]
REQUEST_FIELDS: Mapping[str, str] = {
    control.api: field
    for field, control in controls_of(GenerationRequest).items()
    if control.api in SettingValues.model_fields
}
"""Settings that change a picture -> the request's fields that they fill."""
ETAS = ("eta_ancestral", "eta_ddim")
"""Settings that fill the request's eta, the second for DDIM."""


def request_values(settings: SettingValues, sampler: str) -> Values:
    """Field of the request -> value, for all that the settings say of a picture made with this sampler.

    sampler: a name as requests may have it, its schedule at the end included.
    """
    values = {field: getattr(settings, setting) for setting, field in REQUEST_FIELDS.items()}
    try:
        setting = ETAS[find_sampler(split_sampler_name(sampler, None)[0]).timestep]
    except UnknownChoice:  # it is refused where the request is resolved
        return values
    eta = getattr(settings, setting)
    return {**values, "eta": None if eta == getattr(FACTORY, setting) else eta}


class Settings:
    """The layers of one data folder. Thread-safe; a file changed by hand is read again.

    site_file: A1111's config.json; keys in it that are not known here are kept. user_folder: one file for each user.
    """

    def __init__(self, site_file: Path, user_folder: Path) -> None:
        self._site_file = site_file
        self._user_folder = user_folder
        self._lock = threading.RLock()
        self._read: dict[Path, tuple[tuple[int, int] | None, Values]] = {}

    def values(self, user: str | None = None) -> SettingValues:
        """What holds for a user, or for the site where None."""
        with self._lock:
            layers = [_known(self._layer(file), file) for file in self._files(user)]
        return FACTORY.model_copy(update={name: value for layer in layers for name, value in layer.items()})

    def change(self, changes: Mapping[str, Any], user: str | None = None) -> SettingValues:
        """Sets values in a user's layer, or the site's for None; all of them or none.

        Raises UnknownSetting or InvalidField naming the first at fault, CannotWrite or DiskFull.
        """
        checked = {name: checked_value(name, value) for name, value in changes.items()}
        with self._lock:
            file = self._files(user)[-1]
            self._write(file, {**self._layer(file), **checked})
            return self.values(user)

    def reset(self, names: Iterable[str], user: str | None = None) -> SettingValues:
        """Takes values out of a layer, so that the one below shows."""
        with self._lock:
            file = self._files(user)[-1]
            gone = set(names)
            self._write(file, {name: value for name, value in self._layer(file).items() if name not in gone})
            return self.values(user)

    def _files(self, user: str | None) -> list[Path]:
        if user is None:
            return [self._site_file]
        # The digest keeps apart what a file system that ignores capitals would not.
        name = f"{quote(user, safe='')[:60]}-{hashlib.sha256(user.encode()).hexdigest()[:8]}.json"
        return [self._site_file, self._user_folder / name]

    def _layer(self, file: Path) -> Values:
        stamp = _stamp(file)
        known = self._read.get(file)
        if known is None or known[0] != stamp:
            self._read[file] = known = (stamp, _load(file) if stamp else {})
        return known[1]

    def _write(self, file: Path, values: Values) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_name(file.name + ".tmp")
            with fresh.open("w", encoding="utf-8") as stream:
                json.dump(values, stream, ensure_ascii=False, indent=4)
                stream.flush()
                os.fsync(stream.fileno())
            _keep_version(file)
            fresh.replace(file)
        except OSError as error:
            kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else CannotWrite
            raise kind(
                f"The settings file {file} cannot be written: {error.strerror}.",
                hint="Free some space or check its permissions.",
            ) from error
        self._read.pop(file, None)


def checked_value(name: str, value: Any) -> Any:
    """The value in the setting's own type. Raises UnknownSetting or InvalidField."""
    if name not in SettingValues.model_fields:
        raise UnknownSetting(
            f"There is no setting '{name[:80]}'.", field=name[:80], hint="GET /sdapi/v1/options lists what there is."
        )
    try:
        return getattr(SettingValues.model_validate({name: value}), name)
    except ValidationError as error:
        raise InvalidField(f"{name}: {first_problem(error).text} (got {value!r:.60}).", field=name) from None


def _known(values: Values, file: Path) -> Values:
    """The values that mean something here; one of the wrong type counts as not set."""
    found = {}
    for name in SettingValues.model_fields.keys() & values.keys():
        try:
            found[name] = checked_value(name, values[name])
        except InvalidField as error:
            logger.warning("%s: %s The usual value is taken.", file.name, error)
    return found


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _load(file: Path) -> Values:
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
        if isinstance(values, dict):
            return values
        problem = "it holds no JSON object"
    except (OSError, ValueError) as error:
        problem = str(error)
    logger.error(
        "The settings file %s cannot be read (%s); it is left alone and the usual values are taken", file, problem
    )
    return {}


def _keep_version(file: Path) -> None:
    """Moves the older versions on (.1 is the newest) and copies the present one to .1."""
    if not file.exists():
        return
    for number in range(KEPT_VERSIONS - 1, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        if older.exists():
            older.replace(file.with_name(f"{file.name}.{number + 1}"))
    newest = file.with_name(f"{file.name}.1")
    with suppress(OSError):
        newest.unlink(missing_ok=True)
    newest.write_bytes(file.read_bytes())
