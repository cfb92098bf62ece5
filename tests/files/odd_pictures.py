"""Pictures as people and attackers send them: turned, deep, transparent, tiny, huge, torn, and bombs."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def halves(mode: str = "RGB") -> Image.Image:
    """Sixteen wide and eight high: red on the left, blue on the right."""
    picture = Image.new("RGB", (16, 8), (255, 0, 0))
    picture.paste((0, 0, 255), (8, 0, 16, 8))
    return picture.convert(mode)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def turned() -> bytes:
    """Stored lying on its side: upright it is eight wide and sixteen high, red above."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(halves(), "JPEG", quality=100, subsampling=0, exif=exif.tobytes())


def sixteen_bits() -> bytes:
    levels = np.repeat(np.linspace(0, 65535, 16).astype(np.uint16)[None], 8, axis=0)
    return saved(Image.fromarray(levels))


def sixteen_bit_colours() -> bytes:
    """RGB with 16 bits a channel, which PIL cannot write."""
    row = b"\0" + struct.pack(">HHH", 65535, 0, 0) * 8 + struct.pack(">HHH", 0, 0, 65535) * 8
    header = struct.pack(">IIBBBBB", 16, 8, 16, 2, 0, 0, 0)
    return PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b"")


def palette() -> bytes:
    picture = halves("P")
    return saved(picture, transparency=picture.getpixel((0, 0)))


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that says it has 3.6 billion pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A small picture whose text unpacks to 200 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"a" * 1_000_000) for _ in range(200)) + packer.flush()
    text = b"parameters\0\0" + packed
    whole = saved(halves())
    return whole[:33] + chunk(b"zTXt", text) + whole[33:]


PNG_START = b"\x89PNG\r\n\x1a\n"
READ: dict[str, tuple[bytes, tuple[int, int]]] = {
    "plain": (saved(halves()), (16, 8)),
    "turned by EXIF": (turned(), (8, 16)),
    "16 bits, grey": (sixteen_bits(), (16, 8)),
    "16 bits, colours": (sixteen_bit_colours(), (16, 8)),
    "palette, transparent": (palette(), (16, 8)),
    "one bit": (saved(halves("1")), (16, 8)),
    "grey with alpha": (saved(halves("LA")), (16, 8)),
    "CMYK": (saved(halves("CMYK"), "JPEG", quality=100, subsampling=0), (16, 8)),
    "WebP": (saved(halves(), "WEBP", lossless=True), (16, 8)),
    "moving GIF": (saved(halves("P"), "GIF", save_all=True, append_images=[Image.new("P", (16, 8))]), (16, 8)),
    "BMP": (saved(halves(), "BMP"), (16, 8)),
    "one pixel": (saved(Image.new("RGB", (1, 1), "red")), (1, 1)),
    "20,000 wide": (saved(Image.new("RGB", (20_000, 2), "red")), (20_000, 2)),
}
"""Bytes, and width and height upright."""
REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "text": b"a cat",
    "half a PNG": saved(Image.effect_noise((64, 64), 50))[:1500],
    "half a JPEG": saved(Image.effect_noise((64, 64), 50), "JPEG")[:900],
    "a PNG's head": PNG_START,
    "too many pixels": bomb(),
    "a little too many": bomb(10_001),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n",
}
