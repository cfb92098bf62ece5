"""No pickle runs anything: each hostile one is refused with its reason, and the library lists the rest."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.files import CHECKPOINT, Folders, ModelLibrary, read_pickle
from app.schema.errors import BrokenModelFile, EaselError, UnsafeModelFile
from tests.files import making
from tests.files.hostile import BOMBS, LIVE, OTHER, STORAGE, STRANGE, TWO, archive, call, old_format, ref, system, text
from tests.files.making import write_safetensors

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
ALL = {**LIVE, **OTHER}


def refusal(path: Path, content: bytes) -> EaselError:
    path.write_bytes(content)
    with pytest.raises((BrokenModelFile, UnsafeModelFile)) as caught:
        read_pickle(path)
    assert caught.value.message.startswith(f"{path.name} is ")
    return caught.value


@pytest.mark.parametrize("route", ALL)
@pytest.mark.parametrize("form", ["bare", "zip", "old", "old, in place of the magic number", "old, as its keys"])
def test_a_hostile_pickle_runs_nothing_and_is_refused(tmp_path: Path, route: str, form: str) -> None:
    marker = tmp_path / "marker"
    pickle = ALL[route](marker)
    content = {
        "bare": pickle,
        "zip": archive(pickle),
        "old": old_format(pickle),
        "old, in place of the magic number": old_format(TWO + b"}.", before=pickle),
        "old, as its keys": old_format(TWO + b"}.", keys=pickle),
    }[form]
    error = refusal(tmp_path / "model.safetensors", content)
    assert not marker.exists()
    if pickle.startswith(b"\x80"):
        assert error.code == "unsafe_model_file"


def test_pythons_own_reader_would_have_run_them(tmp_path: Path) -> None:
    """The control: without it the corpus could be harmless by mistake."""
    for number, make in enumerate(LIVE.values()):
        (tmp_path / f"{number}.pkl").write_bytes(make(tmp_path / f"{number}.marker"))
    child = """
import pathlib, pickle, sys, warnings
warnings.simplefilter("ignore")
for path in pathlib.Path(sys.argv[1]).glob("*.pkl"):
    try:
        pickle.loads(path.read_bytes())
    except Exception:
        pass
"""
    subprocess.run([sys.executable, "-c", child, str(tmp_path)], check=True, capture_output=True)
    ran = {name for number, name in enumerate(LIVE) if (tmp_path / f"{number}.marker").exists()}
    assert set(LIVE) - ran == set()
    assert len(ran) >= 30


def test_the_reason_names_what_the_file_refers_to(tmp_path: Path) -> None:
    error = refusal(tmp_path / "a.ckpt", archive(TWO + system(tmp_path / "marker") + b"."))
    assert "it refers to os.system, which weights have no use for: it may be an attack" in error.message
    error = refusal(tmp_path / "a.ckpt", archive(TWO + call(ref("somewhere.helpers.run"), text("x")) + b"."))
    assert "it calls somewhere.helpers.run" in error.message


def test_a_class_that_is_called_is_a_stub_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(archive(TWO + b"}" + text("x") + call(ref("somewhere.Class"), text("argument")) + b"s."))
    file = read_pickle(path)
    assert file.skipped == ("somewhere.Class",)
    assert file.tree["x"].arguments == ("argument",)


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("form", ["zip", "old"])
def test_a_bomb_is_refused(tmp_path: Path, bomb: str, form: str) -> None:
    refusal(tmp_path / "a.ckpt", archive(BOMBS[bomb]) if form == "zip" else old_format(BOMBS[bomb]))


@pytest.mark.parametrize("strange", STRANGE)
def test_depth_and_circles_end(tmp_path: Path, strange: str) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(archive(STRANGE[strange]))
    assert read_pickle(path).tensors == {}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"other/data.pkl": TWO + b"}."}, "or several"),
        ({"archive/code/model.py": b"import os"}, "which weights have no use for"),
        ({"archive/more.zip": archive(TWO + b"}.")}, "which weights have no use for"),
        ({"archive/data/deeper/0": b""}, "which weights have no use for"),
        ({"archive/../../etc/passwd": b"x"}, "leads out of it"),
        ({"/etc/passwd": b"x"}, "leads out of it"),
        ({"archive\\data\\1": b"x"}, "leads out of it"),
        ({"C:/x": b"x"}, "leads out of it"),
        ({"archive//x": b"x"}, "leads out of it"),
    ],
)
def test_an_archive_with_foreign_entries_is_refused(tmp_path: Path, extra: dict[str, bytes], words: str) -> None:
    assert words in refusal(tmp_path / "a.ckpt", archive(TWO + b"}.", extra)).message


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("archive/data.pkl", TWO + b"}.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("archive/data.pkl", TWO + b"}.")
    assert "twice" in refusal(tmp_path / "a.ckpt", file.getvalue()).message


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = archive(TWO + b"N0" * 50_000_000 + b"N.", method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    assert "the limit is 64,000,000" in refusal(tmp_path / "a.ckpt", bomb).message


def test_a_pickle_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    content = bytearray(archive(TWO + b"N0" * 1_000_000 + b"N.", method=zipfile.ZIP_DEFLATED))
    for mark, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        struct.pack_into("<I", content, content.index(mark) + offset, 10)
    assert "not as long as the archive says" in refusal(tmp_path / "a.ckpt", bytes(content)).message


def central(content: bytes, name: bytes) -> int:
    """Where an entry stands in the archive's list."""
    at = content.index(name, content.index(b"PK\1\2"))
    return at - 46


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (42, "<I", 0, "overlaps another entry"),
        (42, "<I", 2**31, "reaches beyond its place"),
        (20, "<I", 2**31, "two sizes"),
        (8, "<H", 1, "encrypted"),
        (10, "<H", 12, "method 12"),
    ],
)
def test_an_archive_whose_list_lies_is_refused(tmp_path: Path, offset: int, form: str, value: int, words: str) -> None:
    content = bytearray(archive(TWO + b"}."))
    struct.pack_into(form, content, central(bytes(content), b"archive/data/0") + offset, value)
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(EaselError, match=words):
        read_pickle(path)


def test_an_entry_with_two_names_is_refused(tmp_path: Path) -> None:
    content = archive(TWO + b"}.").replace(b"archive/data.pkl", b"archive/data.pkx", 1)
    assert "two names" in refusal(tmp_path / "a.ckpt", content).message


def test_an_archive_followed_by_something_else_is_refused(tmp_path: Path) -> None:
    assert "followed by something else" in refusal(tmp_path / "a.ckpt", archive(TWO + b"}.") + b"more").message


def test_weights_with_two_sizes_are_refused(tmp_path: Path) -> None:
    storage = b"(" + text("storage") + ref("torch.FloatStorage") + text("0") + text("cpu") + b"K%ctQ"
    pickle = TWO + b"}" + text("a") + storage % 1 + b"s" + text("b") + storage % 2 + b"s."
    assert "two sizes" in refusal(tmp_path / "a.ckpt", archive(pickle)).message
    assert "two sizes" in refusal(tmp_path / "a.ckpt", old_format(pickle)).message


def test_the_library_lists_the_rest(tmp_path: Path) -> None:
    folders = Folders.of(data_dir=tmp_path, program_dir=tmp_path)
    folders.create()
    place, marker = folders.checkpoints[0], tmp_path / "marker"
    for number, make in enumerate(ALL.values()):
        (place / f"hostile {number}.ckpt").write_bytes(archive(make(marker)))
    write_safetensors(place / "good.safetensors", making.SD1)
    (place / "good too.ckpt").write_bytes((GOLDEN / "lightning.ckpt").read_bytes())
    files = ModelLibrary(folders).list(CHECKPOINT)
    assert len(files) == len(ALL) + 2
    assert {file.name for file in files if file.problem is None} == {"good.safetensors", "good too.ckpt"}
    assert all(file.problem.text.startswith(("It ", "A ")) for file in files if file.problem)
    assert not marker.exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_byte_is_changed_a_pickle_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray((GOLDEN / data.draw(st.sampled_from(["zip.ckpt", "old.ckpt", "lightning.ckpt"]))).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(tmp_path / "a.ckpt", bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100), st.sampled_from([2, 4]))
def test_any_opcodes_are_read_or_refused(tmp_path: Path, opcodes: bytes, protocol: int) -> None:
    read_or_refused(tmp_path / "a.ckpt", archive(b"\x80" + bytes([protocol]) + opcodes + b"."))


def read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        file = read_pickle(path)
        starts = file.storage_starts()
    except EaselError:
        return
    for tensor in file.tensors.values():
        assert 0 <= starts[tensor.storage] + tensor.begin + tensor.span <= len(content)


def test_a_tensor_whose_name_leads_out_is_refused(tmp_path: Path) -> None:
    tensor = call(ref("torch._utils._rebuild_tensor_v2"), STORAGE, b"K\x00", b"K\x01\x85", b"K\x01\x85", b"\x89", b"}")
    error = refusal(tmp_path / "a.ckpt", archive(TWO + b"}" + text("../../x") + tensor + b"s."))
    assert "'../../x' leads out of it" in error.message
