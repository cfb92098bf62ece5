"""Repository: the newest files of a git repository, fetched by git itself without running anything of theirs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from app.schema.errors import DownloadFailed, InvalidField

SCHEMES = ("https", "http", "ssh", "git", "file")
SECONDS = 600.0
"""For one clone."""
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}")
_LOOK = 0.1
_SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.symlinks=false"),
    *("-c", "credential.helper="),
    *("-c", "protocol.ext.allow=never"),
)
"""No hook, no helper of another program, and links come as plain files, so that none leads out of the folder."""


class Origin(NamedTuple):
    """Where a clone is from."""

    address: str
    branch: str
    commit: str


def require_address(address: str, branch: str = "") -> None:
    """Raises InvalidField for what git is not asked for."""
    parts = urlsplit(address) if address.isprintable() else urlsplit("")
    if parts.scheme not in SCHEMES or (parts.scheme != "file" and not parts.hostname) or not parts.path.strip("/"):
        raise InvalidField(
            f"'{address[:200]}' is no address of a git repository.",
            field="address",
            hint="It begins with https://, ssh:// or another of git's, and names a repository.",
        )
    if branch and (not _BRANCH.fullmatch(branch) or ".." in branch):
        raise InvalidField(f"'{branch[:80]}' is no name of a branch.", field="branch")


def name_in(address: str) -> str:
    """What an extension from there is called: the last part of the address, as far as names may have it."""
    last = urlsplit(address).path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-")[:64]


def clone(address: str, branch: str, target: Path, stopped: threading.Event, seconds: float = SECONDS) -> None:
    """The newest commit alone, into `target`, which is not there yet.

    Raises DownloadFailed: with git's own words, when it takes too long, once `stopped` is set, and without git.
    """
    wanted = ["--branch", branch] if branch else []
    few = ("--depth", "1", "--single-branch", "--no-tags", "--template=")
    words = ["clone", *few, *wanted, "--", address, str(target)]
    if shutil.which("git") is None:
        raise DownloadFailed("git is not installed here.", hint="Install it, or use a .zip of the extension.")
    log = target.with_suffix(".log")
    with log.open("w+", encoding="utf-8", errors="replace") as told:
        process = subprocess.Popen(
            ["git", *_SAFE, *words],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            env=_environment(),
            start_new_session=True,
        )
        left = seconds
        while process.poll() is None:
            if stopped.wait(_LOOK) or left <= 0:
                _end(process)
                raise DownloadFailed("It was stopped." if stopped.is_set() else "The server took too long.")
            left -= _LOOK
        if process.returncode:
            told.seek(0)
            raise DownloadFailed(f"git could not fetch it: {_last_words(told.read())}")


def origin_of(folder: Path) -> Origin | None:
    """Where the clone in `folder` is from; None for what is none. Reads git's files, runs nothing."""
    config = folder / ".git" / "config"
    try:
        text = config.read_text(encoding="utf-8")
        head = (folder / ".git" / "HEAD").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    address = re.search(r"^\s*url\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    if address is None:
        return None
    branch = head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else ""
    return Origin(address[1], branch, _commit(folder, branch, head))


def shown(address: str) -> str:
    """An address without a password or token that stands in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _commit(folder: Path, branch: str, head: str) -> str:
    if not branch:
        return head
    try:
        return (folder / ".git" / "refs" / "heads" / branch).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def changed(folder: Path) -> bool:
    """Whether tracked files of a clone are not as they were fetched."""
    asked = ["git", *_SAFE, "-C", str(folder), "status", "--porcelain", "--untracked-files=no"]
    told = subprocess.run(asked, capture_output=True, text=True, env=_environment(), check=False)
    return bool(told.returncode or told.stdout.strip())


def _environment() -> dict[str, str]:
    """Nothing asks at a terminal, and what large files stand for is not fetched."""
    own = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
        "LC_ALL": "C",
    }
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")}, **own}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends git and the helpers that it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] or lines[-1:]
    return " ".join(told)[:400].removeprefix("fatal: ") or "it says nothing"
