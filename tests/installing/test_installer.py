"""Extensions are fetched and checked while the program runs; only the next start puts them in place, and runs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.installing import Changes, Installer
from app.installing.repository import clone, name_in, origin_of, require_address, shown
from app.schema.errors import DownloadFailed, Forbidden, InvalidField
from tests.installing.making import EXTENSION, archive, commit, git, repository


@pytest.fixture
def extensions(tmp_path: Path) -> Path:
    folder = tmp_path / "extensions"
    folder.mkdir()
    return folder


@pytest.fixture
def installer(extensions: Path) -> Installer:
    return Installer(Changes(extensions, taken=["refiner"]))


def ended(installer: Installer) -> tuple[str, str]:
    """(state, text) once nothing is being fetched any more."""
    limit = time.monotonic() + 60
    while installer.now is not None and installer.now.state == "running" and time.monotonic() < limit:
        threading.Event().wait(0.01)
    assert installer.now is not None
    return installer.now.state, installer.now.text


def next_start(installer: Installer) -> list[str]:
    """The names of the extensions after it."""
    installer.changes.apply()
    folder = installer.changes.folder
    return sorted(path.parent.name for path in folder.glob("*/extension.py"))


def test_a_repository_is_there_after_the_next_start_and_nothing_was_run(
    tmp_path: Path, extensions: Path, installer: Installer
) -> None:
    address = repository(tmp_path / "cats.git", {"extension.py": EXTENSION, "parts/one.py": "1 / 0"})
    assert installer.from_address(address) == "cats"
    assert ended(installer) == ("done", "It is loaded at the next start.")
    assert list(extensions.glob("*/extension.py")) == []
    assert installer.waiting() == {"cats": "install"}
    assert next_start(installer) == ["cats"]
    assert not (extensions / "cats" / "was-run").exists()
    assert (extensions / "cats" / "parts" / "one.py").read_text() == "1 / 0"
    assert installer.waiting() == {}
    origin = installer.origin(extensions / "cats")
    assert origin is not None
    assert (origin.address, origin.branch) == (address, "main")
    assert origin.commit == git(tmp_path / "cats.git", "rev-parse", "HEAD")


def test_hooks_links_and_large_files_of_a_repository_do_nothing(tmp_path: Path, extensions: Path) -> None:
    installer = Installer(Changes(extensions))
    source = tmp_path / "cats"
    address = repository(source)
    (source / "escape").symlink_to("/etc")
    hook = source / ".githooks" / "post-checkout"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    git(source, "config", "core.hooksPath", ".githooks")
    commit(source, {".gitattributes": "*.py filter=evil\n"})
    (tmp_path / "hooked").unlink(missing_ok=True)
    installer.from_address(address)
    assert ended(installer)[0] == "done"
    next_start(installer)
    assert not (tmp_path / "hooked").exists()
    assert not (extensions / "cats" / "escape").is_symlink()
    assert (extensions / "cats" / "escape").read_text() == "/etc"


def test_a_branch_and_a_name_may_be_said(tmp_path: Path, extensions: Path, installer: Installer) -> None:
    source = tmp_path / "cats"
    address = repository(source)
    git(source, "checkout", "--quiet", "-b", "next/one")
    commit(source, {"extension.py": "# next\n"})
    git(source, "checkout", "--quiet", "main")
    assert installer.from_address(address, "next/one", "tigers") == "tigers"
    assert ended(installer)[0] == "done"
    assert next_start(installer) == ["tigers"]
    assert (extensions / "tigers" / "extension.py").read_text() == "# next\n"


def test_an_update_takes_the_place_at_the_next_start_and_the_old_one_is_kept(
    tmp_path: Path, extensions: Path, installer: Installer
) -> None:
    address = repository(tmp_path / "cats")
    installer.from_address(address)
    ended(installer)
    next_start(installer)
    commit(tmp_path / "cats", {"extension.py": "# newer\n"})
    installer.update("cats")
    assert ended(installer)[0] == "done"
    assert (extensions / "cats" / "extension.py").read_text() == EXTENSION
    assert installer.waiting() == {"cats": "update"}
    next_start(installer)
    assert (extensions / "cats" / "extension.py").read_text() == "# newer\n"
    assert (extensions / ".replaced" / "cats" / "extension.py").read_text() == EXTENSION


def test_an_update_never_undoes_what_was_changed_by_hand(
    tmp_path: Path, extensions: Path, installer: Installer
) -> None:
    installer.from_address(repository(tmp_path / "cats"))
    ended(installer)
    next_start(installer)
    (extensions / "cats" / "extension.py").write_text("# mine\n")
    with pytest.raises(InvalidField, match="were changed by hand"):
        installer.update("cats")
    assert (extensions / "cats" / "extension.py").read_text() == "# mine\n"


def test_an_archive_is_installed_and_replaced_by_a_newer_one(
    tmp_path: Path, extensions: Path, installer: Installer
) -> None:
    installer.from_archive(archive(tmp_path / "a.zip"), "cats")
    assert ended(installer)[0] == "done"
    assert not (tmp_path / "a.zip").exists()
    assert next_start(installer) == ["cats"]
    with pytest.raises(InvalidField, match="was not fetched from a repository"):
        installer.update("cats")
    installer.from_archive(archive(tmp_path / "b.zip", {"cats/extension.py": "# newer\n"}), "cats")
    ended(installer)
    assert installer.waiting() == {"cats": "update"}
    next_start(installer)
    assert (extensions / "cats" / "extension.py").read_text() == "# newer\n"


def test_one_that_is_removed_goes_at_the_next_start(tmp_path: Path, extensions: Path, installer: Installer) -> None:
    installer.from_archive(archive(tmp_path / "a.zip"), "cats")
    ended(installer)
    next_start(installer)
    installer.remove("cats")
    assert (extensions / "cats").is_dir()
    assert installer.waiting() == {"cats": "remove"}
    installer.undo("cats")
    assert next_start(installer) == ["cats"]
    installer.remove("cats")
    assert next_start(installer) == []
    assert (extensions / ".replaced" / "cats" / "extension.py").is_file()


def test_what_waits_can_be_undone(tmp_path: Path, installer: Installer) -> None:
    installer.from_archive(archive(tmp_path / "a.zip"), "cats")
    ended(installer)
    installer.undo("cats")
    assert installer.waiting() == {}
    assert next_start(installer) == []


@pytest.mark.parametrize("name", ["refiner", "Cats", "../evil", ".hidden", "", "a b", "x" * 65, "waiting.removed"])
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, extensions: Path, name: str) -> None:
    (extensions / "cats").mkdir()
    installer = Installer(Changes(extensions, taken=["refiner"]))
    with pytest.raises(InvalidField):
        installer.from_archive(archive(tmp_path / "a.zip"), name)
    with pytest.raises(InvalidField):
        installer.changes.require_new(name)


@pytest.mark.parametrize("act", ["update", "remove"])
@pytest.mark.parametrize("name", ["refiner", "nothing", "..", ".git"])
def test_only_what_a_user_installed_is_changed(extensions: Path, act: str, name: str) -> None:
    (extensions / "refiner").mkdir()
    installer = Installer(Changes(extensions, taken=["refiner"]))
    with pytest.raises(InvalidField, match="There is no installed extension"):
        getattr(installer, act)(name)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme.md": "hello"}, "There is no extension.py in it, so it is no extension of Easel."),
        ({"scripts/cats.py": ""}, "Extensions of AUTOMATIC1111 do not run here."),
    ],
)
def test_what_is_no_extension_is_not_installed(
    tmp_path: Path, installer: Installer, files: dict[str, str], words: str
) -> None:
    installer.from_address(repository(tmp_path / "cats", files))
    state, text = ended(installer)
    assert state == "failed"
    assert words in text
    assert installer.waiting() == {}


def test_packages_that_it_lists_are_told_and_not_installed(tmp_path: Path, installer: Installer) -> None:
    files = {"extension.py": "", "requirements.txt": "torch==0.1"}
    installer.from_archive(archive(tmp_path / "a.zip", files), "cats")
    assert "packages in requirements.txt, which you install yourself" in ended(installer)[1]


def test_where_nothing_may_be_installed_nothing_is(tmp_path: Path, extensions: Path) -> None:
    installer = Installer(Changes(extensions), refusal="Not over --share.")
    (extensions / "cats").mkdir()
    for act in (
        lambda: installer.from_address("https://example.org/cats"),
        lambda: installer.from_archive(archive(tmp_path / "a.zip"), "dogs"),
        lambda: installer.update("cats"),
        lambda: installer.remove("cats"),
        lambda: installer.undo("cats"),
    ):
        with pytest.raises(Forbidden, match="Not over --share"):
            act()


@pytest.mark.parametrize(
    "address",
    ["", "cats", "/home/ann/cats", "--upload-pack=evil", "ext::sh -c evil", "ftp://example.org/cats", "https://",
     "https:///cats", "https://example.org", "file:///", "https://example.org/a\nb"],
)  # fmt: skip
def test_an_address_that_git_is_not_asked_for_is_refused(installer: Installer, address: str) -> None:
    with pytest.raises(InvalidField, match="no address of a git repository"):
        installer.from_address(address, name="cats")


@pytest.mark.parametrize("branch", ["--evil", "a..b", "a b", "/a"])
def test_a_branch_that_is_none_is_refused(branch: str) -> None:
    with pytest.raises(InvalidField, match="no name of a branch"):
        require_address("https://example.org/cats", branch)


def test_names_come_from_addresses() -> None:
    for address, name in (
        ("https://example.org/ann/cats.git", "cats"),
        ("https://example.org/ann/my.cats/", "my-cats"),
        ("ssh://git@example.org/ann/cats_2", "cats_2"),
    ):
        assert name_in(address) == name


def test_what_git_says_is_told(tmp_path: Path, installer: Installer) -> None:
    installer.from_address((tmp_path / "nothing").as_uri())
    state, text = ended(installer)
    assert state == "failed"
    assert "git could not fetch it:" in text
    assert "nothing" in text


def slow_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that says when it runs, and never comes to an end."""
    folder.mkdir()
    script = folder / "git"
    script.write_text(f"#!/bin/sh\ntouch {folder}/runs\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def wait_for(there: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not there() and time.monotonic() < limit:
        threading.Event().wait(0.01)
    assert there()


def test_a_clone_can_be_stopped_and_leaves_nothing(
    tmp_path: Path, extensions: Path, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_git(tmp_path / "bin", monkeypatch)
    installer.from_address("https://example.org/cats")
    wait_for((tmp_path / "bin" / "runs").exists)
    with pytest.raises(InvalidField, match="'cats' is being fetched"):
        installer.from_address("https://example.org/dogs")
    installer.stop()
    assert ended(installer) == ("stopped", "It was stopped.")
    assert list((extensions / ".incoming").iterdir()) == []
    assert installer.waiting() == {}


def test_a_clone_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_git(tmp_path / "bin", monkeypatch)
    with pytest.raises(DownloadFailed, match="took too long"):
        clone("https://example.org/cats", "", tmp_path / "target", threading.Event(), seconds=0.2)


def test_without_git_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadFailed, match="git is not installed"):
        clone("https://example.org/cats", "", tmp_path / "target", threading.Event())


def test_secrets_in_an_address_are_not_shown(tmp_path: Path) -> None:
    assert shown("https://ann:token@example.org/cats") == "https://example.org/cats"
    assert origin_of(tmp_path) is None
