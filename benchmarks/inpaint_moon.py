"""Inpainting 'a moon' into the starter's night sky: `python -m benchmarks.inpaint_moon [FILE] [--seeds N]`.

Prints for how many seeds a moon lies inside the mask while the judge still sees the same night, and how large the step
of levels across the mask's edge is beside the steps within the sky.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from app.extension_host import ExtensionHost
from app.files import CHECKPOINT, Blobs, Folders, Identity, ModelLibrary, recommended
from app.hooks import Registry
from app.launch.engine import Precision, make_engine
from app.schema.events import RowFailed, RowFinished
from app.schema.flags import LaunchOptions
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest
from app.starter import judge

SCENE = "a red house on a meadow at night"
WISH = "a moon, a red house on a meadow at night"
MOON = np.array((252, 244, 208), dtype=np.float32)
"""As `app.starter.scenes` draws it."""
NEAR = 90.0
"""Distance of levels within which a pixel is the moon's; the night's sky is more than 300 away."""
SMALLEST = 40
"""Pixels of a moon: a third of the drawn crescent, and far more than a star."""
RADIUS = 22
PLACES = ((28, 28), (100, 28))
"""Where the starter's world has its moons: on either side of what stands in the middle."""
SIDE = 128


class Found(NamedTuple):
    """moon: its pixels inside the mask. night: the judge sees the scene's time still. edge, sky: mean steps of levels
    between neighbours across the mask's edge and within the sky around."""

    moon: int
    night: bool
    edge: float
    sky: float


class Painter:
    """Draws and redraws with one checkpoint through the product's engine."""

    def __init__(self, path: Path, folder: Path) -> None:
        options = LaunchOptions(device="cpu")
        library = ModelLibrary(Folders.of(data_dir=path.parent, ckpt_dir=path.parent))
        entry = library.find(path.name, CHECKPOINT)
        identity = Identity.of(path)
        self.file = FileIdentity(path=identity.path, size=identity.size, mtime_ns=identity.mtime_ns)
        self.settings = {**recommended(entry), "precision": Precision(options)("auto"), "width": SIDE, "height": SIDE}
        self.blobs = Blobs(folder)
        self._engine = make_engine(options, ExtensionHost((), Registry()), self.blobs, lambda rows: None)
        library.close()

    def keep(self, picture: Image.Image) -> str:
        """Its hash."""
        file = io.BytesIO()
        picture.save(file, "PNG")
        return self.blobs.put(file.getvalue())

    def draw(self, prompt: str, seed: int, **fields: object) -> Image.Image:
        """One picture. Raises SystemExit with the reason when it fails."""
        request = GenerationRequest.model_validate({**self.settings, "prompt": prompt, "seed": seed, **fields})
        resolved = ResolvedRequest(request=request, checkpoint=self.file, checkpoint_name=Path(self.file.path).stem)
        self._engine.submit(ImagePlan("job", "benchmark", 0, 0, seed, 0, resolved))
        while not self._engine.idle:
            for event in self._engine.step():
                if isinstance(event, RowFailed):
                    raise SystemExit(f"{prompt} cannot be drawn: {event.message}")
                if isinstance(event, RowFinished):
                    return Image.frombytes("RGB", (event.width, event.height), event.rgb)
        raise SystemExit("The engine ended without a picture.")


def moon_pixels(picture: np.ndarray) -> np.ndarray:
    """[H, W] bool: the largest connected part of what has the moon's colour."""
    near = (np.linalg.norm(picture - MOON, axis=-1) < NEAR).astype(np.uint8)
    count, labels, measures, _ = cv2.connectedComponentsWithStats(near)
    if count < 2:
        return np.zeros(near.shape, dtype=bool)
    return np.asarray(labels == 1 + int(measures[1:, cv2.CC_STAT_AREA].argmax()))


def emptiest(picture: np.ndarray) -> tuple[int, int]:
    """The place in the sky that differs least from it."""

    def unrest(place: tuple[int, int]) -> float:
        x, y = place
        return float(picture[y - RADIUS : y + RADIUS, x - RADIUS : x + RADIUS].std(axis=(0, 1)).sum())

    return min(PLACES, key=unrest)


def look(before: np.ndarray, after: np.ndarray, place: tuple[int, int]) -> Found:
    """What came of one mask."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(columns - place[0], rows - place[1])
    inside = distance <= RADIUS
    sky = (rows < 56) & ~moon_pixels(before) & ~moon_pixels(after)
    ring = (distance > RADIUS + 12) & (distance < RADIUS + 30)
    edge, around = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(after.mean(-1), axis=axis))
        one, other = (np.s_[1:], np.s_[:-1]) if axis == 0 else (np.s_[:, 1:], np.s_[:, :-1])
        pair = sky[one] & sky[other]
        edge.append(steps[pair & (inside[one] != inside[other])])
        around.append(steps[pair & ring[one] & ring[other]])
    moon = moon_pixels(after) & inside
    same = judge(Image.fromarray(after.astype(np.uint8))).time == judge(Image.fromarray(before.astype(np.uint8))).time
    return Found(int(moon.sum()), same, *(float(np.concatenate(part).mean()) for part in (edge, around)))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=Path("models/Stable-diffusion/starter.safetensors"))
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        painter = Painter(arguments.file, Path(folder))
        for seed in range(arguments.seeds):
            scene = painter.draw(SCENE, seed)
            before = np.asarray(scene, dtype=np.float32)
            x, y = emptiest(before)
            mask = Image.new("L", scene.size)
            ImageDraw.Draw(mask).ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=255)
            redrawn = painter.draw(
                WISH,
                1000 + seed,
                init_images=(painter.keep(scene),),
                mask=painter.keep(mask),
                denoising_strength=1.0,
                masked_content="latent noise",
                mask_blur_x=4,
                mask_blur_y=4,
            )
            found.append(look(before, np.asarray(redrawn, dtype=np.float32), (x, y)))
            print(
                f"seed {seed:2}: moon of {found[-1].moon:3} pixels, edge {found[-1].edge:.2f}, sky {found[-1].sky:.2f}"
            )
    moons = sum(one.moon >= SMALLEST and one.night for one in found)
    edge, sky = (float(np.median([getattr(one, name) for one in found])) for name in ("edge", "sky"))
    print(f"\na moon inside the mask: {moons} of {len(found)}")
    print(f"step of levels across the mask's edge, median of the seeds: {edge:.2f}; within the sky around: {sky:.2f}")


if __name__ == "__main__":
    main()
