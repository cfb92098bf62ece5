"""Mutations: files that are almost right, made from sound ones by a seeded random; the same seed makes the same."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

from tests.files.hostile import archive, old_format

_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_WORDS = (
    "F32",
    "F16",
    "BOOL",
    "dtype",
    "shape",
    "data_offsets",
    "__metadata__",
    "",
    "../../x",
    "a" * 5000,
    "\ud7ff",
    "名",
)
# One of each opcode with honest arguments, and names of all sorts, so that runs of them often get far.
_FRAGMENTS = (
    *(bytes([code]) for code in b"().012NRabdeloustQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94]}"),
    *(b"K" + bytes([number]) for number in (0, 1, 2, 255)),
    *(b"h" + bytes([number]) for number in range(4)),
    *(b"q" + bytes([number]) for number in range(4)),
    b"M\x01\x00",
    b"J\xff\xff\xff\x7f",
    b"J\xff\xff\xff\xff",
    b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    b"G?\xf0\0\0\0\0\0\0",
    b"X\x07\0\0\0storage",
    b"X\x03\0\0\0cpu",
    b"X\x010\0\0\0"[:6] + b"0",
    b"\x8c\x01a",
    b"C\x02xy",
    b"U\x01\xe9",
    b"X\x01\0\0\x000",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nfloat16\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ccollections\nOrderedDict\n",
    b"ccollections\ndefaultdict\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"c_codecs\nencode\n",
    b"csome.where\nClass\n",
    b"cos\nsystem\n",
    b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ",
    b"ctorch._utils\n_rebuild_tensor_v2\n(h\x00K\x00K\x01\x85K\x01\x85\x89}tR",
)


def bytes_changed(whole: bytes, random: Random) -> bytes:
    """A few bytes changed, put in, taken out, doubled, moved or cut off."""
    data = bytearray(whole)
    for _ in range(random.randint(1, 6)):
        at, length = random.randrange(len(data) + 1), random.choice((1, 1, 2, 4, 8, 30))
        match random.randrange(7):
            case 0 if at < len(data):
                data[at] = random.randrange(256)
            case 1 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 2:
                form = random.choice(("<B", "<H", "<I", "<Q", ">H", ">I"))
                number = random.choice(_INTERESTING) % 2 ** (8 * struct.calcsize(form))
                data[at : at + struct.calcsize(form)] = struct.pack(form, number)
            case 3:
                data[at:at] = random.randbytes(length)
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
            case 6 if random.random() < 0.3:
                del data[at:]
        if not data:
            return b""
    return bytes(data)


def header_changed(content: dict[str, Any], random: Random) -> bytes:
    """A header's JSON with values of it replaced by others: still JSON most of the time."""
    changed = json.loads(json.dumps(content))
    for _ in range(random.randint(1, 4)):
        place: Any = changed
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = random.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and random.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place, dict) and random.random() < 0.2:
                place[random.choice(_WORDS)] = place.pop(key)
            else:
                place[key] = _value(random)
            break
    text = json.dumps(changed, ensure_ascii=random.random() < 0.5).encode()
    return bytes_changed(text, random) if random.random() < 0.2 else text


def _value(random: Random) -> Any:
    return random.choice(
        (
            random.choice(_INTERESTING),
            -random.choice(_INTERESTING),
            random.choice(_WORDS),
            random.random() * 1e10,
            None,
            True,
            [],
            {},
            [random.choice(_INTERESTING)] * random.randint(1, 3),
            {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        )
    )


def opcodes(random: Random) -> bytes:
    """Opcodes in any order, most with honest arguments."""
    parts = [random.choice(_FRAGMENTS) for _ in range(random.randint(1, 40))]
    return b"\x80" + bytes([random.choice((2, 2, 3, 4, 5))]) + b"".join(parts) + b"."


def pickle_changed(whole: bytes, random: Random) -> bytes:
    """An archive whose pickle was changed and packed anew with a true checksum; or its bytes as they stand."""
    if random.random() < 0.5:
        return bytes_changed(whole, random)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, bytes_changed(data, random) if name.endswith("data.pkl") else data)
    return packed.getvalue()


def wrapped(pickle: bytes, random: Random) -> bytes:
    """A pickle as an archive's or as the old format's tree."""
    wrap: Callable[[bytes], bytes] = random.choice((archive, old_format))
    return wrap(pickle)
