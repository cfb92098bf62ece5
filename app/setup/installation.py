"""Makes the virtual environment and fills it: visibly, with pinned versions, and so that it can break off anywhere.

Only runs when something is to be installed, so start-up time does not count here.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.setup.environment import Environment, fingerprint, remove_stamp, stamped_extras, write_stamp
from app.setup.graphics import has_amd_card, nvidia_cards
from app.setup.suitable import detached_lines, requirement_lines
from app.setup.torch_build import TorchBuild, torch_build

_OWN_SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")
_WORKS = "import sys; sys.exit(sys.version_info < (3, 11))"


class CannotInstall(Exception):
    """The installation stopped; the message says why and what to do."""


def install(
    environment: Environment,
    program: Path,
    extras: Iterable[str],
    environ: Mapping[str, str] = os.environ,
    reinstall_torch: bool = False,
) -> None:
    """Bring an environment to what pyproject.toml and constraints.txt say; safe to repeat after any interruption.

    Raises CannotInstall with words for the user.
    """
    wanted = {*extras, *stamped_extras(environment)}
    with _alone(environment, program):
        remove_stamp(environment)
        if environment.folder is not None:
            make_folder(environment, environ)
            remove_half_installed(environment.folder)
        _fill(environment, program, wanted, environ, reinstall_torch)
        write_stamp(environment, fingerprint(program), wanted)


def make_folder(environment: Environment, environ: Mapping[str, str]) -> None:
    """A virtual environment whose Python starts; one that was left half made is made anew."""
    folder = environment.folder
    assert folder is not None
    base = environ.get("PYTHON", "").strip() or getattr(sys, "_base_executable", None) or sys.executable
    if (folder / "pyvenv.cfg").exists() and _succeeds([str(environment.python), "-c", _WORKS]):
        if _pip_of(environment) is not None:
            return
        print(f"{folder} has no pip; making it anew.", flush=True)
    else:
        print(f"Making the environment {folder} ...", flush=True)
    if environment.is_running:
        raise CannotInstall(f"The environment {folder} is damaged. Start with a Python outside of it.")
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise CannotInstall(
            f"{folder} exists and is no Python environment. Rename it, or choose another place with VENV_DIR."
        )
    with_pip = importlib.util.find_spec("ensurepip") is not None
    command = [base, "-m", "venv", "--clear", *([] if with_pip else ["--without-pip"]), str(folder)]
    if subprocess.run(command, check=False).returncode != 0:
        raise CannotInstall(
            f"{base} could not make an environment in {folder} (its reason stands above).\n"
            "On Debian and Ubuntu: sudo apt install python3-venv. Or set VENV_DIR=- to install into this Python itself."
        )
    if not _succeeds([str(environment.python), "-c", _WORKS]):
        raise CannotInstall(f"{base} is older than Python 3.11, which Easel needs. Set PYTHON to a newer one.")


def remove_half_installed(folder: Path) -> None:
    """Forget packages whose installation or removal broke off, so that pip does not take them for whole.

    pip writes a package's RECORD as the last of its files, and renames what it is removing to a name with a tilde.
    """
    for packages in (*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")):
        for notes in packages.glob("*.dist-info"):
            if not (notes / "RECORD").exists():
                print(f"Repairing {notes.name.removesuffix('.dist-info')}, which was left half installed.", flush=True)
                shutil.rmtree(notes)
        for leftover in packages.glob("~*"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def _fill(
    environment: Environment, program: Path, extras: set[str], environ: Mapping[str, str], reinstall_torch: bool
) -> None:
    pip = _pip_of(environment)
    if pip is None:
        raise CannotInstall(
            f"Neither {environment.python} nor {sys.executable} has pip. On Debian and Ubuntu: "
            "sudo apt install python3-venv python3-pip."
        )
    constraints = ["-c", str(program / "constraints.txt")]
    index = ["--index-url", environ["INDEX_URL"]] if environ.get("INDEX_URL", "").strip() else []
    build = torch_build(environ, sys.platform, nvidia_cards(), has_amd_card(), bool(index) or _has_own_sources(pip))
    print(f"Installing the packages of Easel into {environment.folder or sys.prefix}.", flush=True)
    print(f"{build.words} This happens once and takes some minutes.", flush=True)
    began = time.monotonic()
    _install_torch(pip, constraints, build, reinstall_torch)
    torch_index = ["--extra-index-url", build.source] if build.source and build.required else []
    _run([*pip, "install", *constraints, *index, *torch_index, *requirement_lines(program, extras)])
    _install_detached(pip, constraints, index, program)
    print(f"Installed in {time.monotonic() - began:.0f} seconds.", flush=True)


def _install_detached(pip: list[str], constraints: list[str], index: list[str], program: Path) -> None:
    """Packages without their dependencies. The program runs without them, so that a failure is told and no more."""
    for line in detached_lines(program):
        command = [*pip, "install", *constraints, *index, "--no-deps", line]
        if subprocess.run(command, check=False).returncode != 0:
            print(f"{line} could not be installed; what needs it will say so.", flush=True)


def _install_torch(pip: list[str], constraints: list[str], build: TorchBuild, reinstall: bool) -> None:
    """torch by itself first where it has a source of its own, so that no other source can serve another build."""
    again = ["--force-reinstall", "--no-deps"] if reinstall else []
    if build.command is not None:
        words = shlex.split(build.command, posix=os.name != "nt")
        words = words[words.index("install") + 1 :] if "install" in words else words
        _run([*pip, "install", *constraints, *again, *words])
    elif build.source is not None:
        alone = [*pip, "install", *constraints, *(again or ["--no-deps"]), "--index-url", build.source, "torch"]
        if build.required:
            _run(alone)
        elif subprocess.run([*alone, "--retries", "1"], check=False).returncode != 0:
            print("That source cannot be reached; taking torch from pip's own (on Linux with CUDA).", flush=True)
    elif reinstall:
        _run([*pip, "install", *constraints, *again, "torch"])


def _pip_of(environment: Environment) -> list[str] | None:
    """The words that start pip for an environment: its own, or this Python's where it was made without one."""
    if _succeeds([str(environment.python), "-m", "pip", "--version"]):
        return [str(environment.python), "-m", "pip", "--disable-pip-version-check"]
    if importlib.util.find_spec("ensurepip") is None and _succeeds([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment.python)]
    return None


def _has_own_sources(pip: list[str]) -> bool:
    """Whether pip's configuration, files or variables, names an index or a folder of wheels."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    return any(f".{option}=" in line for line in listed.splitlines() for option in _OWN_SOURCES)


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise CannotInstall(
            "The installation stopped; pip's reason stands above. Often it is the connection: behind a mirror set "
            "INDEX_URL (for torch: TORCH_INDEX_URL).\nThen run the same command again: it goes on where it stopped."
        )


@contextmanager
def _alone(environment: Environment, program: Path) -> Iterator[None]:
    """Hold the installation's lock, waiting for another start that is installing; a killed holder lets go of it."""
    folder = environment.folder
    path = (folder.parent / f"{folder.name}.lock") if folder is not None else program / ".venv.lock"
    with path.open("a") as lock:
        if os.name == "nt":
            import msvcrt  # noqa: PLC0415 - Windows only

            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
