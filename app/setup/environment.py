"""The environment the program runs in: where it is, whether it is whole, and what was installed into it.

Read at every start, so it imports next to nothing. Making and filling an environment is `installation`'s business.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).resolve().parents[2]
STAMP = "easel-installed.json"


class Environment(NamedTuple):
    """An interpreter and the folder that holds its packages.

    folder: of the virtual environment; None where VENV_DIR is "-", which stands for the running Python, as in A1111.
    python: path of the interpreter, which may not exist yet.
    """

    folder: Path | None
    python: Path

    @property
    def is_running(self) -> bool:
        """Whether this very process runs in it."""
        return self.folder is None or Path(sys.prefix).resolve() == self.folder.resolve()


def environment_of(program: Path, environ: Mapping[str, str]) -> Environment:
    """The environment of a program folder: `.venv` inside it, or where VENV_DIR says (relative to the program)."""
    wish = environ.get("VENV_DIR", "").strip()
    if wish == "-":
        return Environment(None, Path(sys.executable))
    folder = program / (os.path.expanduser(wish) if wish else ".venv")  # noqa: PTH111 - pathlib raises without a home
    return Environment(folder, folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def fingerprint(program: Path) -> str:
    """sha256 over the two files that say what is to be installed."""
    total = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        content = (program / name).read_bytes().replace(b"\r\n", b"\n")
        total.update(f"{name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def is_current(environment: Environment, wanted: str, extras: Iterable[str]) -> bool:
    """Whether a finished installation of this fingerprint, with these extras, is there and its Python still starts.

    The stamp is written last and names the interpreter behind the environment's link: an installation that broke off
    and a system Python that was replaced by another version both read as not current.
    """
    if environment.folder is None or not (environment.folder / "pyvenv.cfg").exists():
        return False
    try:
        stamp = json.loads((environment.folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return (
        stamp.get("fingerprint") == wanted
        and set(extras) <= set(stamp.get("extras", ()))
        and stamp.get("python") == str(environment.python.resolve())
        and environment.python.exists()
    )


def remove_stamp(environment: Environment) -> None:
    """Say that what follows may leave the environment unfinished."""
    if environment.folder is not None:
        (environment.folder / STAMP).unlink(missing_ok=True)


def write_stamp(environment: Environment, installed: str, extras: Iterable[str]) -> None:
    """Say that the installation is finished; the last thing an installation does."""
    if environment.folder is None:
        return
    stamp = {
        "fingerprint": installed,
        "extras": sorted(extras),
        "python": str(environment.python.resolve()),
    }
    beside = environment.folder / f"{STAMP}.new"
    beside.write_text(json.dumps(stamp, indent=1), "utf-8")
    beside.replace(environment.folder / STAMP)


def stamped_extras(environment: Environment) -> set[str]:
    """The extras of the last finished installation, so that a later one does not forget them."""
    if environment.folder is None:
        return set()
    try:
        return set(json.loads((environment.folder / STAMP).read_text("utf-8")).get("extras", ()))
    except (OSError, ValueError):
        return set()
