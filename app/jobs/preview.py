"""Preview: thumbnail pixels become an image that fits into an event.

JPEG, since it is looked at for a quarter of a second and must be small; the saved picture never passes here.
"""

from __future__ import annotations

import base64
import io

from PIL import Image

from app.schema.events import Preview, RowPreviewed


def preview_event(thumbnail: RowPreviewed) -> Preview:
    """The event for a thumbnail, with its pixels as a data: URI."""
    image = Image.frombytes("RGB", (thumbnail.width, thumbnail.height), thumbnail.rgb)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    data = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return Preview(job=thumbnail.job, index=thumbnail.image, step=thumbnail.step, data=data)
