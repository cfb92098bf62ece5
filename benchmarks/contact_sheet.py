"""A sheet of pictures with a caption below each, as one image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 8
LINES = 3
PAPER = (255, 255, 255)
INK = (70, 70, 78)


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """Pictures of one size, row by row on white; captions are broken into at most three short lines."""
    width, height = pictures[0].size
    size = max(width // 12, 8)
    font = ImageFont.load_default(size)
    line = round(size * 1.25)
    room = LINES * line + GAP // 2
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + room + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = GAP + number % columns * (width + GAP), GAP + number // columns * (height + room + GAP)
        sheet.paste(picture, (x, y))
        for place, words in enumerate(_broken(caption, font, width)):
            pen.text((x, y + height + GAP // 2 + place * line), words, fill=INK, font=font)
    return sheet


def _broken(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines that fit into the width, the longest letters counted."""
    characters = max(int(width / (font.getlength(caption) / max(len(caption), 1)) * 0.92), 8)
    return textwrap.wrap(caption, characters, max_lines=LINES, placeholder=" ...")
