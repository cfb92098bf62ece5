"""Repairs odd Unicode as CLIP's own reader does: straight quotes, usual widths, no control characters.

CLIP was trained, and AUTOMATIC1111 tokenises, behind ftfy's `fix_text`; these are its fixed rules, written
afresh. Its guessing repair of wrongly decoded text (mojibake) is left out: a prompt is what its writer typed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

_ENTITY: Final = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_TERMINAL_ESCAPE: Final = re.compile("\x1b\\[[0-9;]*[a-zA-Z]")
_SURROGATE_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NEEDS_REPAIR: Final = re.compile("[^\t\n\x20-\x25\x27-\x7e]")

_LIGATURES: Final = {
    "Ĳ": "IJ", "ĳ": "ij", "ŉ": "ʼn", "Ǳ": "DZ", "ǲ": "Dz", "ǳ": "dz", "Ǆ": "DŽ", "ǅ": "Dž", "ǆ": "dž", "Ǉ": "LJ",
    "ǈ": "Lj", "ǉ": "lj", "Ǌ": "NJ", "ǋ": "Nj", "ǌ": "nj", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl",
    "ﬅ": "ſt", "ﬆ": "st",
}  # fmt: skip
_QUOTES: Final = {0x02BC: "'"} | dict.fromkeys(range(0x2018, 0x201C), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
_LINE_BREAKS: Final = dict.fromkeys((0x0D, 0x2028, 0x2029), "\n")
_DROPPED: Final = dict.fromkeys(
    [*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)], ""
)


def _windows_1252(code: int) -> str:
    """What a byte 128-159 was meant to be when it stands alone as a C1 control character."""
    return bytes([code]).decode("cp1252", errors="ignore") or chr(code)


_C1_CONTROLS: Final = {code: _windows_1252(code) for code in range(0x80, 0xA0)}
_WIDTHS: Final = {0x3000: " "} | {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)}
_LETTERS: Final = _C1_CONTROLS | _WIDTHS | {ord(letter): plain for letter, plain in _LIGATURES.items()}


def plain_text(text: str) -> str:
    """Text with its odd characters made plain; ordinary text comes back unchanged.

    HTML entities (`&amp;`) are decoded up to the first line that holds a `<`, from where on the text is taken for
    markup and its entities stay. Halves of surrogate pairs are joined, or become U+FFFD. The result is in NFC.
    """
    if not _NEEDS_REPAIR.search(text):
        return text
    markup = text.find("<")
    if "&" not in text or markup < 0:
        return _repaired(text, decode_entities=True)
    line_start = text.rfind("\n", 0, markup) + 1
    before, after = text[:line_start], text[line_start:]
    return _repaired(before, decode_entities=True) + _repaired(after, decode_entities=False)


def _repaired(text: str, *, decode_entities: bool) -> str:
    before = None
    while text != before:  # one repair may uncover the next: `&amp;lt;`
        before = text
        if decode_entities and "&" in text:
            text = _ENTITY.sub(_decoded_entity, text)
        text = text.translate(_LETTERS).translate(_QUOTES).replace("\r\n", "\n").translate(_LINE_BREAKS)
        text = _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        text = _SURROGATE.sub("\ufffd", text)
        text = _TERMINAL_ESCAPE.sub("", text).translate(_DROPPED)
        text = unicodedata.normalize("NFC", text)
    return text


def _decoded_entity(match: re.Match[str]) -> str:
    entity = match[0]
    decoded = html.unescape(entity)
    if ";" not in decoded:
        return decoded
    if entity == entity.upper():  # `&NTILDE;` shouts `&ntilde;`
        decoded = html.unescape(entity.lower()).upper()
    return entity if ";" in decoded else decoded
