"""Pictures: names and writes them as the settings say at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from app.files import Encoding, Images, Naming
from app.schema.events import RowFinished
from app.schema.request import ImagePlan
from app.schema.settings import Settings


@dataclass(frozen=True)
class PicturesBySettings:
    """The writer's PictureFiles over `Images`; the site's settings count, since files belong to the machine."""

    images: Images
    settings: Settings

    def names(self, plan: ImagePlan, finished: RowFinished) -> Iterator[str]:
        """As `Images.names`."""
        values = self.settings.values()
        redrawn = bool(plan.resolved.request.init_images)
        return self._now(values.outdir_img2img_samples if redrawn else "").names(plan, finished)

    def write(self, path: str, finished: RowFinished, infotext: str) -> None:
        """As `Images.write`."""
        self._now().write(path, finished, infotext)

    def clear_unsaved(self, before: datetime) -> None:
        """As `Images.clear_unsaved`."""
        self.images.clear_unsaved(before)

    def _now(self, folder: str = "") -> Images:
        values = self.settings.values()
        naming = Naming(
            folder=folder or values.outdir_txt2img_samples,
            by_folder=values.save_to_dirs,
            folder_pattern=values.directories_filename_pattern,
            pattern=values.samples_filename_pattern,
            numbered=values.save_images_add_number,
            text_file=values.save_txt,
        )
        encoding = Encoding(
            values.samples_format, values.jpeg_quality, values.webp_lossless, infotext=values.enable_pnginfo
        )
        return replace(self.images, naming=naming, encoding=encoding)
