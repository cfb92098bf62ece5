"""A safetensors header is read without its weights, and nothing in it is believed before it is checked."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from app.files import Header, TensorPlace, read_header
from app.schema.errors import BrokenModelFile, EaselError, ModelNotFound, UnsafeModelFile
from tests.files.making import header_of, safetensors_bytes, write_safetensors

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def written(path: Path, content: Any, weights: bytes = bytes(8)) -> Path:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(safetensors_bytes(text, weights))
    return path


def test_names_types_shapes_places_and_metadata_are_told(tmp_path: Path) -> None:
    shapes = {"a": (2, 3), "名 🎨": (4,), "none": (0, 5), "scalar": ()}
    path = write_safetensors(tmp_path / "中 文.safetensors", shapes, "F16", {"format": "pt", "título": "ok"})
    header = read_header(path)
    start = header.data_start
    assert dict(header.tensors) == {
        "a": TensorPlace("F16", (2, 3), start, start + 12),
        "名 🎨": TensorPlace("F16", (4,), start + 12, start + 20),
        "none": TensorPlace("F16", (0, 5), start + 20, start + 20),
        "scalar": TensorPlace("F16", (), start + 20, start + 22),
    }
    assert dict(header.metadata) == {"format": "pt", "título": "ok"}
    assert header.size == path.stat().st_size == start + 22


def test_the_places_are_where_the_formats_own_writer_puts_the_weights(tmp_path: Path) -> None:

    values = {"x": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "y": numpy.arange(4, dtype=numpy.int64)}
    save_file(values, tmp_path / "a.safetensors", {"k": "v"})
    header, data = read_header(tmp_path / "a.safetensors"), (tmp_path / "a.safetensors").read_bytes()
    for name, value in values.items():
        place = header.tensors[name]
        assert place.shape == value.shape
        assert data[place.begin : place.end] == value.tobytes()


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no file .*gone\.safetensors"):
        read_header(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\n <html>\n", "web page"),
        (b'{"error": "Unauthorized"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "picture"),
        (b"Rar!\x1a\x07\x01\0", "packed archive"),
        (bytes(5000), "zeros"),
        (b"hello, world, here", "no known model format"),
    ],
)
def test_what_is_no_safetensors_file_is_named_in_words(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(BrokenModelFile, match=words):
        read_header(path)


def test_a_half_copied_file_says_how_much_is_there(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"a": (1000,)}, "F32")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(BrokenModelFile, match=f"in part \\(1,000 of {len(whole):,} bytes are there\\)"):
        read_header(path)
    path.write_bytes(whole[:30])
    with pytest.raises(BrokenModelFile, match="ends inside its header"):
        read_header(path)


BROKEN: dict[str, tuple[Any, bytes]] = {
    "no JSON": (b"{not json at all}", bytes(8)),
    "no end": (b'{"a": {"dtype": "F32"', bytes(8)),
    "not UTF-8": (b'{"\xff\xfe": 1}', bytes(8)),
    "tensor is a number": ({"a": 3}, bytes(8)),
    "tensor is a list": ({"a": []}, bytes(8)),
    "no dtype": ({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "unknown dtype": ({"a": {**F32, "dtype": "F33"}}, bytes(8)),
    "dtype is a list": ({"a": {**F32, "dtype": ["F32"]}}, bytes(8)),
    "negative shape": ({"a": {**F32, "shape": [-2]}}, bytes(8)),
    "shape of fractions": ({"a": {**F32, "shape": [2.0]}}, bytes(8)),
    "shape of truths": ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)),
    "shape is text": ({"a": {**F32, "shape": "2"}}, bytes(8)),
    "enormous shape": ({"a": {"dtype": "F32", "shape": [2**63, 0], "data_offsets": [0, 0]}}, b""),
    "a zero hides an overflow": ({"a": {"dtype": "F32", "shape": [0, 2**40, 2**40], "data_offsets": [0, 0]}}, b""),
    "product overflows": ({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b""),
    "seventy dimensions": ({"a": {"dtype": "F32", "shape": [1] * 70, "data_offsets": [0, 4]}}, bytes(4)),
    "too small for its shape": ({"a": {**F32, "data_offsets": [0, 7]}}, bytes(7)),
    "too large for its shape": ({"a": {**F32, "data_offsets": [0, 12]}}, bytes(12)),
    "offsets backwards": ({"a": {**F32, "data_offsets": [8, 0]}}, bytes(8)),
    "three offsets": ({"a": {**F32, "data_offsets": [0, 4, 8]}}, bytes(8)),
    "beyond the end": ({"a": {**F32, "data_offsets": [0, 8]}}, bytes(4)),
    "metadata of numbers": ({"__metadata__": {"a": 1}, "a": F32}, bytes(8)),
    "metadata is a list": ({"__metadata__": ["a"], "a": F32}, bytes(8)),
    "half a character": (b'{"__metadata__": {"a": "\\ud800"}}', b""),
    "a number without end": (b'{"a": {"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', bytes(8)),
    "not a number": (b'{"a": {"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', bytes(8)),
}
UNSAFE: dict[str, tuple[Any, bytes]] = {
    "overlap": ({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, bytes(12)),
    "two in one place": ({"a": F32, "b": F32}, bytes(8)),
    "hole before": ({"a": {**F32, "data_offsets": [4, 12]}}, bytes(12)),
    "hole between": ({"a": F32, "b": {**F32, "data_offsets": [12, 20]}}, bytes(20)),
    "bytes after": ({"a": F32}, bytes(9)),
    "offsets of 2^62": (
        {"a": F32, "b": {"dtype": "F32", "shape": [2**60], "data_offsets": [2**61, 2**61 + 2**62]}},
        bytes(8),
    ),
    "twice the same name": (b'{"a": %b, "a": %b}' % ((json.dumps(F32).encode(),) * 2), bytes(8)),
    "twice the same field": (b'{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "a name that leads out": ({"../../etc/passwd": F32}, bytes(8)),
    "a name that leads out on Windows": ({"a\\..\\b": F32}, bytes(8)),
    "a name with an end inside": ({"a\0b": F32}, bytes(8)),
    "nested without end": (b'{"a":' + b"[" * 200_000, b""),
    "millions of parts": (b'{"a":[' + b"{}," * 1_100_000 + b"{}]}", b""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_header_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    path = written(tmp_path / "a.safetensors", *BROKEN[case])
    with pytest.raises(BrokenModelFile, match=r"^a\.safetensors is not usable: .*\. Copy or download"):
        read_header(path)


@pytest.mark.parametrize("case", UNSAFE)
def test_a_header_that_no_honest_program_writes_is_refused_as_unsafe(tmp_path: Path, case: str) -> None:
    path = written(tmp_path / "a.safetensors", *UNSAFE[case])
    with pytest.raises(UnsafeModelFile, match=r"^a\.safetensors is refused: "):
        read_header(path)


@pytest.mark.parametrize("length", [100_000_001, 2**32, 2**63, 2**64 - 1])
def test_an_absurd_header_size_is_refused_before_anything_is_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a":1}')
    with pytest.raises(EaselError) as caught:
        read_header(path)
    assert caught.value.code in ("unsafe_model_file", "broken_model_file")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenModelFile, match="cannot be read"):
        read_header(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
tensor_like = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "U8", "F4", "X"]) | json_values,
        "shape": st.lists(st.integers(-1, 5), max_size=4) | json_values,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | json_values,
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=6), tensor_like | json_values, max_size=4), st.binary(max_size=64))
def test_whatever_a_header_says_it_is_read_or_refused(tmp_path: Path, content: dict[str, Any], weights: bytes) -> None:
    check_read_or_refused(tmp_path / "a.safetensors", safetensors_bytes(json.dumps(content).encode(), weights))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_byte_is_changed_a_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    text, size = header_of({"a": (2, 2), "b": (3,)}, "F32", {"k": "v"})
    whole = bytearray(safetensors_bytes(text, bytes(size)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    check_read_or_refused(tmp_path / "a.safetensors", bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    check_read_or_refused(tmp_path / "a.safetensors", data)


def check_read_or_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        header = read_header(path)
    except BrokenModelFile:
        return
    assert_consistent(header, data)


def assert_consistent(header: Header, data: bytes) -> None:
    ends = [header.data_start, *(place.end for place in header.tensors.values())]
    assert max(ends) == header.size == len(data)
    assert sum(place.end - place.begin for place in header.tensors.values()) == len(data) - header.data_start
    assert all(isinstance(value, str) for value in header.metadata.values())
