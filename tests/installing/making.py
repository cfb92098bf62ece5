"""Extensions to install: repositories of git and archives, made in the test; their code says so when it is run."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

EXTENSION = '"""Draws cats."""\nfrom pathlib import Path\nPath(__file__).with_name("was-run").touch()\n'


def git(folder: Path, *words: str) -> str:
    """git's answer, as somebody whose own settings do not matter."""
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")
    told = subprocess.run(["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def repository(folder: Path, files: dict[str, str] | None = None) -> str:
    """A repository with these files; its address."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    commit(folder, {"extension.py": EXTENSION} if files is None else files)
    return folder.as_uri()


def commit(folder: Path, files: dict[str, str]) -> str:
    """One more commit; its hash."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "more")
    return git(folder, "rev-parse", "HEAD")


def archive(path: Path, files: dict[str, str] | None = None) -> Path:
    """A .zip with these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in ({"extension.py": EXTENSION} if files is None else files).items():
            made.writestr(name, text)
    return path
