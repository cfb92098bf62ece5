"""Zip directory: the entries of a PyTorch archive and where their bytes lie, without unpacking anything.

Strict where zip readers are lenient: no overlaps, no encryption, no names that lead out. Knows no pickles.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

from app.files.refused import Refused, RefusedAsUnsafe, RefusedAsUnsupported

STORED, DEFLATED = 0, 8

_END, _END64, _LOCATOR64, _CENTRAL, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
_LONGEST_COMMENT = 65_535
_MOST_ENTRIES = 200_000
_LONGEST_DIRECTORY = 100_000_000


class Entry(NamedTuple):
    """One entry. size: of its content, packed: of its bytes in the file. header: where its local header begins."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    header: int


def read_directory(file: BinaryIO) -> dict[str, Entry]:
    """Name -> entry, in the archive's order. Raises Refused when the archive is damaged or dishonest."""
    size = file.seek(0, 2)
    count, length, begin = _end_record(file, size)
    if count > _MOST_ENTRIES or length > _LONGEST_DIRECTORY:
        raise RefusedAsUnsafe(f"its archive claims {count:,} entries; the limit is {_MOST_ENTRIES:,}")
    if begin + length > size:
        raise Refused("its archive's list of entries lies beyond its end: it was copied or downloaded in part")
    file.seek(begin)
    data = file.read(length)
    entries: dict[str, Entry] = {}
    position = 0
    for _ in range(count):
        entry, position = _entry(data, position)
        if entry.name in entries:
            raise RefusedAsUnsafe(f"its archive holds '{entry.name[:100]}' twice")
        entries[entry.name] = entry
    _check_overlaps(entries, begin)
    return entries


def data_start(file: BinaryIO, entry: Entry) -> int:
    """Byte of the file at which an entry's bytes begin; reads its local header."""
    file.seek(entry.header)
    head = file.read(30)
    if len(head) < 30 or head[:4] != _LOCAL:
        raise Refused(f"its archive's entry '{entry.name[:100]}' is damaged")
    name_length, extra_length = struct.unpack_from("<HH", head, 26)
    if file.read(name_length) != entry.name.encode("utf-8"):
        raise RefusedAsUnsafe(f"its archive's entry '{entry.name[:100]}' has two names")
    return entry.header + 30 + name_length + extra_length


def read_entry(file: BinaryIO, entry: Entry, most: int) -> bytes:
    """An entry's content, unpacked. most: bytes beyond which it is refused."""
    if entry.size > most:
        raise RefusedAsUnsafe(f"'{entry.name[:100]}' in its archive has {entry.size:,} bytes; the limit is {most:,}")
    file.seek(data_start(file, entry))
    data = file.read(min(entry.packed, most))
    if entry.method == DEFLATED:
        unpacker = zlib.decompressobj(-15)
        try:
            data = unpacker.decompress(data, entry.size + 1)
        except zlib.error as error:
            raise Refused(f"'{entry.name[:100]}' in its archive is damaged ({error})") from None
    if len(data) != entry.size:
        raise Refused(f"'{entry.name[:100]}' in its archive is not as long as the archive says")
    if entry.crc and zlib.crc32(data) != entry.crc:
        raise Refused(f"'{entry.name[:100]}' in its archive is damaged (its checksum differs)")
    return data


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of entries, length and begin of their list (APPNOTE 4.3.16, 4.3.14 for archives above 4 GB)."""
    tail_begin = max(0, size - 22 - _LONGEST_COMMENT - 20 - 56)
    file.seek(tail_begin)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise Refused("the end of its archive is missing: it was copied or downloaded in part")
    disk, first_disk, here, count, length, begin, comment = struct.unpack_from("<HHHHIIH", tail, at + 4)
    if at + 22 + comment != len(tail):
        raise Refused("its archive is followed by something else")
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR64:
        (position,) = struct.unpack_from("<Q", tail, at - 12)
        if position + 56 > size:
            raise Refused("its archive is damaged near its end")
        file.seek(position)
        record = file.read(56)
        if record[:4] != _END64:
            raise Refused("its archive is damaged near its end")
        disk, first_disk, here, count, length, begin = struct.unpack_from("<IIQQQQ", record, 16)
    if disk or first_disk or here != count:
        raise RefusedAsUnsupported("its archive is split into several files")
    return count, length, begin


def _entry(data: bytes, position: int) -> tuple[Entry, int]:
    if data[position : position + 4] != _CENTRAL or len(data) - position < 46:
        raise Refused("its archive's list of entries is damaged")
    flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length = struct.unpack_from(
        "<HHHHIIIHHH", data, position + 8
    )
    (header,) = struct.unpack_from("<I", data, position + 42)
    begin = position + 46
    raw, extra = data[begin : begin + name_length], data[begin + name_length : begin + name_length + extra_length]
    name = _checked_name(raw)
    if flags & 0x41:
        raise RefusedAsUnsupported("its archive is encrypted")
    if method not in (STORED, DEFLATED):
        raise RefusedAsUnsupported(
            f"'{name[:100]}' in its archive is packed in a way that is not read (method {method})"
        )
    packed, size, header = _with_long_numbers(extra, packed, size, header)
    return Entry(name, method, crc, packed, size, header), begin + name_length + extra_length + comment_length


def _checked_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedAsUnsafe("an entry's name in its archive is no text") from None
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise RefusedAsUnsafe(f"the name '{name[:100]}' in its archive leads out of it")
    return name


def _with_long_numbers(extra: bytes, packed: int, size: int, header: int) -> tuple[int, int, int]:
    """The 64-bit numbers that stand in field 1 of `extra` for those that are all ones (APPNOTE 4.5.3)."""
    longs: list[int] = []
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            field = extra[position + 4 : position + 4 + length]
            longs = [value for (value,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
        position += 4 + length
    numbers = []
    for number in (size, packed, header):
        if number == 0xFFFFFFFF:
            if not longs:
                raise Refused("its archive's list of entries is damaged")
            number = longs.pop(0)
        numbers.append(number)
    return numbers[1], numbers[0], numbers[2]


def _check_overlaps(entries: Mapping[str, Entry], end: int) -> None:
    reached = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.header):
        if entry.method == STORED and entry.packed != entry.size:
            raise RefusedAsUnsafe(f"'{entry.name[:100]}' in its archive has two sizes")
        if entry.header < reached:
            raise RefusedAsUnsafe(f"'{entry.name[:100]}' in its archive overlaps another entry")
        reached = entry.header + 30 + len(entry.name.encode("utf-8")) + entry.packed
        if reached > end:
            raise RefusedAsUnsafe(f"'{entry.name[:100]}' in its archive reaches beyond its place")
