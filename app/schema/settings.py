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

from app.schema.choices import AUTOMATIC
from app.schema.control import Control
from app.schema.errors import CannotWrite, DiskFull, InvalidField, UnknownSetting

logger = logging.getLogger(__name__)

KEPT_VERSIONS = 10


class SettingValues(BaseModel):
    """One whole set of values. Controls name the setting; `infotext` binds it to a key of pasted infotexts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sd_model_checkpoint: Annotated[
        str, Control("Stable Diffusion checkpoint", choices="checkpoints", infotext="Model hash", change_cost=10)
    ] = ""
    sd_vae: Annotated[str, Control("SD VAE", choices="vaes", infotext="VAE", change_cost=7)] = AUTOMATIC
    CLIP_stop_at_last_layers: Annotated[
        int, Field(ge=1, le=12), Control("Clip skip", "1: the last layer", 1, 12, 1, infotext="Clip skip")
    ] = 1
    emphasis: Annotated[
        Literal["Original", "No norm", "Ignore", "None"],
        Control("Emphasis mode", choices="emphasis", infotext="Emphasis"),
    ] = "Original"
    randn_source: Annotated[
        Literal["CPU", "GPU", "NV"], Control("Random number source", choices="noise_sources", infotext="RNG")
    ] = "CPU"
    eta_noise_seed_delta: Annotated[int, Field(ge=0, le=2**32), Control("Eta noise seed delta", infotext="ENSD")] = 0
    tiling: Annotated[bool, Control("Tiling", infotext="Tiling")] = False
    s_churn: Annotated[float, Field(ge=0), Control("Sigma churn", "", 0, 100, 0.01, infotext="Sigma churn")] = 0.0
    s_tmin: Annotated[float, Field(ge=0), Control("Sigma tmin", "", 0, 10, 0.01, infotext="Sigma tmin")] = 0.0
    s_tmax: Annotated[float, Field(ge=0), Control("Sigma tmax", "0: no limit", 0, 999, 0.01, infotext="Sigma tmax")] = (
        0.0
    )
    s_noise: Annotated[float, Field(ge=0), Control("Sigma noise", "", 0, 1.1, 0.001, infotext="Sigma noise")] = 1.0
    samples_save: Annotated[bool, Control("Save pictures", "off: kept for a day only")] = True
    samples_format: Annotated[
        Literal["png", "jpg", "jpeg", "webp", "avif", "gif"], Control("File format for pictures")
    ] = "png"
    samples_filename_pattern: Annotated[str, Control("File name pattern", "as [seed]-[prompt_spaces]")] = ""
    save_images_add_number: Annotated[bool, Control("Put a number before the file name")] = True
    save_to_dirs: Annotated[bool, Control("Save pictures to sub-folders")] = True
    directories_filename_pattern: Annotated[str, Control("Sub-folder pattern", "as [date]")] = "[date]"
    outdir_txt2img_samples: Annotated[str, Control("Folder for txt2img pictures")] = "outputs/txt2img-images"
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
    live_previews_enable: Annotated[bool, Control("Show live previews")] = True


FACTORY = SettingValues()
Values = dict[str, Any]


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
        problem = error.errors(include_url=False, include_context=False)[0]["msg"]
        raise InvalidField(f"{name}: {problem[:1].lower()}{problem[1:]} (got {value!r:.60}).", field=name) from None


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
