"""An archive that nobody vouches for: its plain files come out, and whatever is unsafe refuses all of it."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from app.installing.archive import MOST_FILES, unpack
from app.schema.errors import InvalidField
from tests.installing.making import archive


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "target"
    folder.mkdir(parents=True)
    return folder


def files_in(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_files_come_out(tmp_path: Path, target: Path) -> None:
    files = {"extension.py": "1", "parts/one.py": "2", "parts/deep/two.txt": "3"}
    unpack(archive(tmp_path / "a.zip", files), target)
    assert files_in(target) == files


def test_a_folder_around_all_of_them_is_left_out(tmp_path: Path, target: Path) -> None:
    unpack(archive(tmp_path / "a.zip", {"cats-main/extension.py": "1", "cats-main/parts/one.py": "2"}), target)
    assert files_in(target) == {"extension.py": "1", "parts/one.py": "2"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../evil.py", "outside its folder"),
        ("parts/../../evil.py", "outside its folder"),
        ("/etc/evil.py", "outside its folder"),
        ("C:/evil.py", "outside its folder"),
        ("parts\\..\\evil.py", "outside its folder"),
        ("line\nbreak.py", "outside its folder"),
        ("aux.py", "Windows keeps for itself"),
        ("EXTENSION.py", "two files of one name"),
    ],
)
def test_an_unsafe_name_refuses_all_of_it(tmp_path: Path, target: Path, name: str, words: str) -> None:
    path = archive(tmp_path / "a.zip", {"extension.py": "1", name: "2"})
    with pytest.raises(InvalidField, match=words):
        unpack(path, target)
    assert files_in(tmp_path / "deep") == {}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_refuses_all_of_it(tmp_path: Path, target: Path, kind: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        member = zipfile.ZipInfo("extension.py")
        member.create_system = 3
        member.external_attr = (kind | 0o777) << 16
        made.writestr(member, "/etc/passwd")
    with pytest.raises(InvalidField, match="a link or something else"):
        unpack(path, target)
    assert files_in(target) == {}


def test_an_encrypted_member_is_refused(tmp_path: Path, target: Path) -> None:
    path = archive(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InvalidField, match="encrypted"):
        unpack(path, target)


def test_a_bomb_is_refused_by_what_it_says_and_by_what_comes(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a.zip", {"extension.py": "0" * 100_000})
    monkeypatch.setattr("app.installing.archive.MOST_BYTES", 50_000)
    with pytest.raises(InvalidField, match="it holds more than"):
        unpack(path, target)
    assert files_in(target) == {}
    data = bytearray(path.read_bytes())
    # Both headers say that it holds 10 bytes.
    for start, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(start) + offset
        data[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InvalidField):
        unpack(path, target)
    assert sum(len(text) for text in files_in(target).values()) <= 50_000


@pytest.mark.parametrize(("content", "words"), [(b"no zip", "no .zip that can be read"), (b"", "no .zip")])
def test_what_is_no_archive_is_told(tmp_path: Path, target: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(InvalidField, match=words):
        unpack(path, target)


def test_an_empty_or_crowded_archive_is_told(tmp_path: Path, target: Path) -> None:
    with pytest.raises(InvalidField, match="nothing in it"):
        unpack(archive(tmp_path / "a.zip", {}), target)
    with pytest.raises(InvalidField, match="more than 5,000 files"):
        unpack(archive(tmp_path / "b.zip", {f"{n}.txt": "" for n in range(MOST_FILES + 1)}), target)
