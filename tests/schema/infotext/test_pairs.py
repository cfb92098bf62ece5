"""The line of entries: which keys are seen, where values end, what is quoted."""

from __future__ import annotations

import pytest

from app.schema.infotext.pairs import read_pairs, safely_quoted, split_size


def read(line: str, *, whole_json: bool = False) -> list[tuple[str, str]]:
    return [(pair.key, pair.value) for pair in read_pairs(line, whole_json=whole_json)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Steps: 20, Seed: 1", [("Steps", "20"), ("Seed", "1")]),
        ("4x: a, A/B test: b, Eta-x: c, _z: d", [("4x", "a"), ("A/B test", "b"), ("Eta-x", "c"), ("_z", "d")]),
        ("a: 1, bc: 2", [("bc", "2")]),
        ("ключ: значение", [("ключ", "значение")]),
        ("- / key: v", [("key", "v")]),
        ("Key:v,Other:w", [("Key", "v"), ("Other", "w")]),
        ("ab:cd:ef, gh: i", [("ab", "cd:ef"), ("gh", "i")]),
        ("Empty: , Next: x", [("Empty", ""), ("Next", "x")]),
        ('Quoted: "a, b: \\"c\\"\\nd", Next: x', [("Quoted", 'a, b: "c"\nd'), ("Next", "x")]),
        ('Say: say "hi", Next: x', [("Say", 'say "hi"'), ("Next", "x")]),
        ('Open: "a, Next: x', [("Open", '"a'), ("Next", "x")]),
        ('After: "a" b, Next: x', [("After", '"a" b'), ("Next", "x")]),
        ('None: "", One: "', [("None", ""), ("One", '"')]),
        ('Bad: "\\q", Next: x', [("Bad", '"\\q"'), ("Next", "x")]),
        ("no pairs, at all", []),
    ],
)
def test_entries_are_found_as_a1111_finds_them(line: str, expected: list[tuple[str, str]]) -> None:
    assert read(line) == expected


def test_civitais_json_is_one_value_and_pieces_without_a_value_are_kept() -> None:
    line = 'Hashes: {"model": "0a, b"}, Tiled, Civitai resources: [{"type":"lora"}], Seed: 1, end'
    assert read(line, whole_json=True) == [
        ("Hashes", '{"model": "0a, b"}'),
        ("Tiled", "Tiled"),
        ("Civitai resources", '[{"type":"lora"}]'),
        ("Seed", "1"),
        ("end", "end"),
    ]
    assert read(line)[0] == ("Hashes", '{"model": "0a')


def test_broken_json_ends_at_its_comma() -> None:
    line = 'Hashes: {"model": "a", "b", Seed: 1'
    assert read(line, whole_json=True) == [("Hashes", '{"model": "a"'), ('"b"', '"b"'), ("Seed", "1")]


@pytest.mark.parametrize("value", ["512x512", "1x1", "٣x4"])
def test_sizes_are_two_numbers(value: str) -> None:
    assert split_size(value) == tuple(value.split("x"))


@pytest.mark.parametrize("value", ["512 x 512", "-1x-1", "x5", "5x5x5", "5X5", ""])
def test_other_values_are_no_sizes(value: str) -> None:
    assert split_size(value) is None


@pytest.mark.parametrize(
    "value", ["", " a", "a ", '"a"', '"', "a, b", "a: b", "a\nb", "\ud800", "a\x00b", 'say "hi"', "猫"]
)
def test_what_is_written_safely_is_read_again(value: str) -> None:
    written = f"Key: {safely_quoted(value)}, Next: x"
    written.encode("utf-8")
    assert read(written) == [("Key", value), ("Next", "x")]


def test_only_what_must_be_is_quoted() -> None:
    assert safely_quoted('say "hi" (a) [b] {c}') == 'say "hi" (a) [b] {c}'
    assert safely_quoted("アニメ, x") == '"アニメ, x"'
