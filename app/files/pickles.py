"""Pickles: .ckpt, .pt and .bin files as inert values and tensors with their places; runs nothing.

PyTorch's zip archives and its older format. There is no other way in, and no switch that opens one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from app.files.contents import Content, content_of
from app.files.headers import DTYPE_BITS, refuse_leading_out
from app.files.pickle_machine import PickleMachine
from app.files.pickle_names import Name
from app.files.pickle_values import PickledTensor, Storage, Stub, storage_of
from app.files.refused import Refused, RefusedAsUnsafe, RefusedAsUnsupported, naming
from app.files.zip_directory import STORED, Entry, data_start, read_directory, read_entry

LONGEST_PICKLE = 64_000_000
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MOST_VALUES = 500_000
_DEEPEST = 32
_LONGEST_VALUE = 1000
_MOST_SHORT_VALUES = 100


@dataclass(frozen=True)
class PickledFile:
    """What a pickled model file says.

    tree: dicts, lists, tuples, text, numbers, `PickledTensor`s and `Stub`s, as in the file. tensors: those of its
    'state_dict' (else of the whole tree) by dotted name. storages: bytes that tensors share, in the file's order.
    skipped: names of the classes that were not rebuilt. metadata: short texts and numbers of the tree's first level.
    """

    path: Path
    tree: Any
    tensors: Mapping[str, PickledTensor]
    storages: Mapping[str, Storage]
    skipped: tuple[str, ...]
    metadata: Mapping[str, str]
    _archive: Mapping[str, Entry] | None
    _data_start: int

    def storage_starts(self) -> dict[str, int]:
        """Storage -> byte of the file at which it begins; reads a few bytes at each.

        Raises what `read_pickle` raises, when the file is not what it was.
        """
        with naming(self.path), self.path.open("rb") as file:
            if self._archive is None:
                return _old_starts(file, self.storages, self._data_start)
            return {key: data_start(file, self._archive[key]) for key in self.storages}

    def storage_checksums(self) -> dict[str, int]:
        """Storage -> CRC-32 of its bytes; 0 where the file says none (PyTorch's old format never does)."""
        return {key: self._archive[key].crc if self._archive is not None else 0 for key in self.storages}


def read_pickle(path: str | Path) -> PickledFile:
    """What a .ckpt, .pt or .bin file holds, without its weights.

    Raises ModelNotFound, BrokenModelFile for what is damaged or no such file, UnsafeModelFile for what no weights need
    (code, bombs, overlaps), UnsupportedModel for a sound file in a form that is not read.
    """
    path = Path(path)
    with naming(path), path.open("rb") as file:
        content = content_of(file.read(4096))
        if content is Content.ZIP:
            return _read_zip(path, file)
        if content is Content.PICKLE:
            return _read_old(path, file)
        raise Refused(f"it is {content.value}")


def _read_zip(path: Path, file: BinaryIO) -> PickledFile:
    entries = read_directory(file)
    top, pickle = _checked_archive(entries)
    byte_order = entries.get(f"{top}/byteorder")
    if byte_order is not None and read_entry(file, byte_order, 16) != b"little":
        raise RefusedAsUnsupported("its numbers are stored the other way round (big-endian)")
    data = read_entry(file, pickle, LONGEST_PICKLE)
    stored = {
        name.removeprefix(f"{top}/data/"): entry for name, entry in entries.items() if name.startswith(f"{top}/data/")
    }
    storages: dict[str, Storage] = {}

    def load(identifier: Any) -> Storage:
        storage = _known_once(storages, storage_of(identifier))
        entry = stored.get(storage.key)
        if entry is None:
            raise Refused(f"the weights '{storage.key[:100]}' are missing from its archive")
        if entry.method != STORED:
            raise RefusedAsUnsupported("its weights are packed; save it again with torch.save or as safetensors")
        if entry.size != storage.size:
            raise Refused(f"the weights '{storage.key[:100]}' have {entry.size:,} bytes instead of {storage.size:,}")
        return storage

    machine = PickleMachine(data, 0, load)
    tree = machine.run()
    if machine.position != len(data):
        raise RefusedAsUnsafe("its pickle is followed by something else")
    return _pickled_file(path, tree, storages, stored, 0)


def _checked_archive(entries: Mapping[str, Entry]) -> tuple[str, Entry]:
    """The archive's folder and its pickle, once every entry is one that such archives have."""
    tops = {name.partition("/")[0] for name in entries}
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if any(name.endswith(("/constants.pkl", "/model.json")) for name in entries):
        raise RefusedAsUnsupported("it is a TorchScript program, not weights")
    if len(tops) != 1 or len(pickles) != 1:
        raise Refused("its archive is not one that PyTorch saves: it has no data.pkl, or several")
    top = tops.pop()
    for name, entry in entries.items():
        inside = name.removeprefix(f"{top}/")
        known = inside in ("data.pkl", "version", "byteorder", ".format_version", ".storage_alignment")
        weights = inside.startswith(("data/", ".data/")) and inside.count("/") == 1
        if not (known or weights or (name.endswith("/") and entry.size == 0)):
            raise RefusedAsUnsafe(f"its archive holds '{inside[:100]}', which weights have no use for")
    return top, entries[pickles[0]]


def _read_old(path: Path, file: BinaryIO) -> PickledFile:
    """The format before PyTorch 1.6: magic number, protocol, system, tree and storage keys, each a pickle; weights."""
    size = file.seek(0, 2)
    file.seek(0)
    data = file.read(LONGEST_PICKLE)
    storages: dict[str, Storage] = {}

    def load(identifier: Any) -> Any:
        # The format also names the classes of modules so, with their source text, which is left alone.
        if isinstance(identifier, tuple) and identifier[:1] == ("module",) and isinstance(identifier[1], Name):
            return identifier[1]
        return _known_once(storages, storage_of(identifier))

    machine = PickleMachine(data, 0, _no_storages)
    if machine.run() != _MAGIC:
        raise Refused("it is a pickle, but none that PyTorch saves")
    values = []
    for load_of_part in (_no_storages, _no_storages, load, _no_storages):
        machine = PickleMachine(data, machine.position, load_of_part)
        values.append(machine.run())
    protocol, system, tree, keys = values
    if protocol != _PROTOCOL or (isinstance(system, dict) and system.get("little_endian") is False):
        raise RefusedAsUnsupported("it was saved by a PyTorch, or on a machine, whose format is not read")
    texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not texts or sorted(keys) != sorted(storages):
        raise Refused("its list of weights does not fit its contents")
    ordered = {key: storages[key] for key in keys}
    expected = machine.position + sum(8 + storage.size for storage in ordered.values())
    if size < expected:
        raise Refused(f"it was copied or downloaded in part ({size:,} of {expected:,} bytes are there)")
    if size > expected:
        raise RefusedAsUnsafe(f"{size - expected:,} bytes at its end belong to nothing")
    return _pickled_file(path, tree, ordered, None, machine.position)


def _no_storages(_: Any) -> Any:
    raise RefusedAsUnsafe("it refers to weights where there can be none")


def _old_starts(file: BinaryIO, storages: Mapping[str, Storage], position: int) -> dict[str, int]:
    starts = {}
    for key, storage in storages.items():
        file.seek(position)
        count = int.from_bytes(file.read(8), "little")
        if count * DTYPE_BITS[storage.dtype] != 8 * storage.size:
            raise Refused(f"the weights '{key[:100]}' are not where they should be")
        starts[key] = position + 8
        position += 8 + storage.size
    return starts


def _known_once(storages: dict[str, Storage], storage: Storage) -> Storage:
    known = storages.setdefault(storage.key, storage)
    if known.size != storage.size:
        raise RefusedAsUnsafe(f"the weights '{storage.key[:100]}' have two sizes")
    return storage


def _pickled_file(
    path: Path,
    tree: Any,
    storages: dict[str, Storage],
    archive: Mapping[str, Entry] | None,
    start: int,
) -> PickledFile:
    state = tree.get("state_dict") if isinstance(tree, dict) else None
    tensors: dict[str, PickledTensor] = {}
    skipped: dict[str, None] = {}
    for name, value in _leaves(state if isinstance(state, dict) else tree):
        if isinstance(value, PickledTensor):
            tensors[name] = value
        elif isinstance(value, Stub):
            skipped[value.name] = None
    if not tensors and isinstance(tree, Stub):
        raise RefusedAsUnsupported(f"it holds an object of the class {tree.name[:150]} instead of weights by name")
    refuse_leading_out(tensors)
    claimed = sum(tensor.span for tensor in tensors.values())
    if claimed > 4 * sum(storage.size for storage in storages.values()) + 1_000_000:
        raise RefusedAsUnsafe("its tensors claim many times the bytes that it has")
    return PickledFile(
        path,
        tree,
        MappingProxyType(tensors),
        MappingProxyType(storages),
        tuple(skipped),
        MappingProxyType(_short_values(tree)),
        archive,
        start,
    )


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Dotted name and value of all that is no container, in order. Parts may be shared or circular: all is bounded."""
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    left = _MOST_VALUES
    while waiting:
        name, value, depth = waiting.pop()
        children = children_of(value)
        if children is None:
            yield name, value
        elif depth < _DEEPEST:
            left -= len(children)
            # Long keys too: one of megabytes in a part that is shared a hundred thousand times would never end.
            if left < 0 or len(name) > _LONGEST_VALUE or any(len(str(key)) > _LONGEST_VALUE for key, _ in children):
                raise RefusedAsUnsafe("its contents are nested beyond measure")
            inner = [(f"{name}.{key}" if name else str(key), child, depth + 1) for key, child in children]
            waiting.extend(reversed(inner))


def children_of(value: Any) -> list[tuple[str | int, Any]] | None:
    """Key and value of a container's children, None for what is no container.

    A ParameterDict, in which old embeddings keep their vectors, counts as the dictionary that it is.
    """
    if isinstance(value, Stub) and value.name.endswith(".ParameterDict") and isinstance(value.state, dict):
        value = value.state.get("_parameters")
    if isinstance(value, dict):
        return [(key, child) for key, child in value.items() if isinstance(key, str | int)]
    if isinstance(value, list | tuple):
        return [*enumerate(value)]
    return None


def _short_values(tree: Any) -> dict[str, str]:
    if not isinstance(tree, dict):
        return {}
    found: dict[str, str] = {}
    for key, value in tree.items():
        if (
            isinstance(key, str)
            and isinstance(value, str | int | float)
            and len(key) + len(str(value)) <= _LONGEST_VALUE
        ):
            found[key] = str(value)
        if len(found) == _MOST_SHORT_VALUES:
            break
    return found
