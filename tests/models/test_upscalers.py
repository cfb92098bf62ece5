"""Upscalers: A1111's rules of size, and network files of several kinds, in one piece and in tiles."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from app.models import PLAIN, FileUpscaler, enlarged, load_upscaler
from app.models.spandrel_import import spandrel
from app.models.upscalers import resized
from app.schema.errors import BrokenModelFile, OutOfMemory, UnsafeModelFile, UnsupportedModel

CPU = torch.device("cpu")


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def smooth(height: int, width: int) -> Tensor:
    return resized(noise(6, 6), width, height, Image.Resampling.BICUBIC)


def network(kind: str) -> torch.nn.Module:
    """A small one with random weights."""
    spandrel()
    torch.manual_seed(3)
    if kind == "ESRGAN":
        from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet  # noqa: PLC0415 - behind the stand-in for torchvision

        return RRDBNet(num_filters=8, num_blocks=1, scale=4)
    if kind == "Compact":
        from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact  # noqa: PLC0415

        return SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2)
    if kind == "SwinIR":
        from spandrel.architectures.SwinIR import SwinIR  # noqa: PLC0415

        return SwinIR(
            img_size=16,
            window_size=8,
            depths=[1],
            embed_dim=12,
            num_heads=[2],
            upscale=2,
            upsampler="pixelshuffledirect",
        )
    if kind == "HAT":
        from spandrel.architectures.HAT import HAT  # noqa: PLC0415

        return HAT(img_size=16, window_size=4, depths=[1], embed_dim=12, num_heads=[2], upscale=2, squeeze_factor=4)
    if kind == "SCUNet":
        from spandrel.architectures.SCUNet import SCUNet  # noqa: PLC0415

        return SCUNet(config=[1] * 7, dim=64)
    from spandrel.architectures.DAT import DAT  # noqa: PLC0415

    return DAT(img_size=16, split_size=[4, 4], depth=[1], embed_dim=16, num_heads=[2], upscale=2, expansion_factor=2.0)


def load(folder: Path, kind: str, write: Callable[[dict[str, Tensor], Path], None]) -> FileUpscaler:
    path = folder / f"{kind}.pth"
    write(dict(network(kind).state_dict()), path)
    return load_upscaler(path, CPU)


def bare(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def wrapped(state: dict[str, Tensor], path: Path) -> None:
    torch.save({"params_ema": {f"module.{name}": value for name, value in state.items()}, "iteration": 5}, path)


def safe(state: dict[str, Tensor], path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path)


@pytest.mark.parametrize(
    ("kind", "scale"), [("ESRGAN", 4), ("Compact", 2), ("SwinIR", 2), ("DAT", 2), ("HAT", 2), ("SCUNet", 1)]
)
def test_files_of_several_kinds_are_known_by_their_weights(tmp_path: Path, kind: str, scale: int) -> None:
    upscaler = load(tmp_path, kind, bare)
    assert upscaler.scale == scale
    answer = upscaler(noise(17, 20), 2.0, lambda done, total: None)
    assert answer.shape == (3, 17 * scale, 20 * scale)
    assert answer.dtype == torch.uint8


@pytest.mark.parametrize("write", [wrapped, safe])
def test_a_file_means_the_same_however_it_is_packed(tmp_path: Path, write: Any) -> None:
    picture, tell = noise(12, 12), lambda done, total: None
    expected = load(tmp_path, "ESRGAN", bare)(picture, 4.0, tell)
    assert torch.equal(load(tmp_path, "ESRGAN", write)(picture, 4.0, tell), expected)


def test_the_pixels_are_those_of_the_network_itself(tmp_path: Path) -> None:
    picture = noise(10, 14)
    with torch.inference_mode():
        own = network("Compact").eval()(picture[None].float() / 255)[0].clamp(0, 1)
    answer = load(tmp_path, "Compact", bare)(picture, 2.0, lambda done, total: None)
    assert int((answer.int() - own.mul(255).round().int()).abs().max()) <= 1


@pytest.mark.parametrize("kind", ["ESRGAN", "Compact"])
def test_tiles_equal_one_piece_away_from_their_borders(tmp_path: Path, kind: str) -> None:
    picture = noise(60, 100)
    path = tmp_path / "one.pth"
    bare(dict(network(kind).state_dict()), path)
    whole = load_upscaler(path, CPU)(picture, 2.0, lambda done, total: None)
    upscaler = load_upscaler(path, CPU)
    upscaler._tile, upscaler._overlap = 48, 16
    tiled = upscaler(picture, 2.0, lambda done, total: None)
    scale, reach = upscaler.scale, 12  # pixels on either side that these networks look at
    far = torch.ones(60, 100, dtype=torch.bool)
    for edge in (12, 48):  # where tiles of rows begin and end
        far[max(edge - reach, 0) : edge + reach] = False
    for edge in (26, 48, 52, 74):
        far[:, max(edge - reach, 0) : edge + reach] = False
    far = far.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    difference = (tiled.int() - whole.int()).abs().amax(0)
    assert bool(far.any())
    assert int(difference[far].max()) <= 1


def test_no_seam_is_seen_where_tiles_meet(tmp_path: Path) -> None:
    path, picture = tmp_path / "one.pth", smooth(60, 100)
    bare(dict(network("Compact").state_dict()), path)
    whole = load_upscaler(path, CPU)(picture, 2.0, lambda done, total: None).int()
    upscaler = load_upscaler(path, CPU)
    upscaler._tile, upscaler._overlap = 48, 8
    tiled = upscaler(picture, 2.0, lambda done, total: None).int()
    steps, usual = (one.diff(dim=2).abs().amax().item() for one in (tiled, whole))
    assert steps <= usual + 2


def test_when_memory_runs_out_the_tile_is_halved_and_stays_so(tmp_path: Path) -> None:
    upscaler = load(tmp_path, "Compact", bare)
    real, sizes = upscaler._descriptor, []

    class Small:
        """A device with room for 40 pixels."""

        def __call__(self, picture: Tensor) -> Tensor:
            sizes.append(max(picture.shape[-2:]))
            if sizes[-1] > 40:
                raise torch.OutOfMemoryError
            return real(picture)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    upscaler._descriptor = Small()
    picture = noise(70, 70)
    upscaler(picture, 2.0, lambda done, total: None)
    assert sizes[:2] == [70, 35]
    sizes.clear()
    upscaler(picture, 2.0, lambda done, total: None)
    assert max(sizes) == 35


def test_a_device_that_has_room_for_nothing_says_so(tmp_path: Path) -> None:
    upscaler = load(tmp_path, "Compact", bare)

    def full(part: Tensor) -> Tensor:
        raise torch.OutOfMemoryError

    upscaler._run = full  # type: ignore[method-assign]
    with pytest.raises(OutOfMemory, match=r"Compact\.pth"):
        upscaler(noise(70, 70), 2.0, lambda done, total: None)


def test_an_upscaler_is_put_on_until_the_picture_is_large_enough() -> None:
    seen: list[tuple[int, ...]] = []

    def twice(pixels: Tensor, factor: float, tell: Any) -> Tensor:
        seen.append(tuple(pixels.shape[1:]))
        return pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)

    assert enlarged(noise(16, 16), 80, 80, twice).shape == (3, 80, 80)
    assert seen == [(16, 16), (32, 32), (64, 64)]
    seen.clear()
    enlarged(noise(8, 8), 800, 800, twice)
    assert len(seen) == 3


def test_without_an_upscaler_and_to_a_smaller_size_lanczos_does_it() -> None:
    picture = noise(32, 32)
    expected = resized(picture, 48, 40)
    assert torch.equal(enlarged(picture, 48, 40, None), expected)
    assert torch.equal(enlarged(picture, 16, 16, PLAIN["Nearest"]), resized(picture, 16, 16))
    assert enlarged(picture, 32, 32, PLAIN["Nearest"]) is picture


def test_lanczos_goes_by_way_of_whole_eights_as_in_a1111() -> None:
    picture = noise(100, 100)
    by_way = resized(resized(resized(picture, 150, 150), 144, 144), 150, 150)
    assert torch.equal(enlarged(picture, 150, 150, PLAIN["Lanczos"]), by_way)


def test_nearest_repeats_pixels() -> None:
    picture = noise(16, 16)
    assert torch.equal(
        enlarged(picture, 32, 32, PLAIN["Nearest"]), picture.repeat_interleave(2, 1).repeat_interleave(2, 2)
    )


def test_other_files_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(UnsupportedModel, match=r"other\.pth"):
        load_upscaler(path, CPU)
    path.write_bytes(b"nothing that one could read")
    with pytest.raises(BrokenModelFile):
        load_upscaler(path, CPU)
    torch.save({"a": subprocess.run}, path)
    with pytest.raises(UnsafeModelFile):
        load_upscaler(path, CPU)


def test_weights_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    state = dict(network("ESRGAN").state_dict())
    name = next(name for name in state if name.endswith("RDB2.conv3.0.weight"))
    torch.save({**state, name: torch.zeros(1, 1, 3, 3)}, tmp_path / "odd.pth")
    with pytest.raises(BrokenModelFile, match=r"odd\.pth"):
        load_upscaler(tmp_path / "odd.pth", CPU)


def test_the_stand_in_for_torchvision_is_gone_after_the_import() -> None:
    script = (
        "from app.models.spandrel_import import spandrel\nspandrel()\nimport sys\nprint('torchvision' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.strip() == "False"
