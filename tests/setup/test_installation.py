"""An installation that broke off anywhere is finished by the next start; run with a real pip and a wheel of our own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from app.setup.environment import STAMP, environment_of, fingerprint, is_current
from app.setup.installation import CannotInstall, install, make_folder, remove_half_installed


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A package of one module that knows its version."""
    notes = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{notes}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{notes}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{notes}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{notes}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that needs one small package, of which two versions fit and one is pinned."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "paintbox", "1.0")
    wheel(wheels, "paintbox", "1.1")
    wheel(wheels, "torch", "2.13.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = tmp_path / "house"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\ndependencies = ["paintbox>=1,<2", "torch>=2.13"]\n[project.optional-dependencies]\n'
    )
    (folder / "constraints.txt").write_text("paintbox==1.0\ntorch==2.13.0\n")
    return folder


def test_an_interrupted_installation_is_repaired_by_the_next(
    program: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on Debian without python3-venv: the environment has no pip, and this Python's is lent. It is faster, too.
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    environment = environment_of(program, {})
    install(environment, program, set(), os.environ)
    assert is_current(environment, fingerprint(program), set())
    asked = [str(environment.python), "-c", "import paintbox; print(paintbox.version)"]
    assert subprocess.check_output(asked, text=True).strip() == "1.0", "the pin decides, not the newest"

    assert environment.folder is not None
    (packages,) = environment.folder.glob("lib/python*/site-packages")
    (environment.folder / STAMP).unlink()
    (packages / "paintbox-1.0.dist-info" / "RECORD").unlink()
    (packages / "paintbox.py").write_text("half wri")
    capfd.readouterr()
    install(environment, program, set(), os.environ)
    assert "Repairing paintbox-1.0, which was left half installed." in capfd.readouterr().out
    assert subprocess.check_output(asked, text=True).strip() == "1.0"
    assert is_current(environment, fingerprint(program), set())

    (program / "constraints.txt").write_text("paintbox==9\n")
    with pytest.raises(CannotInstall, match="Then run the same command again: it goes on where it stopped"):
        install(environment, program, set(), os.environ)
    assert not (environment.folder / STAMP).exists(), "an installation that failed is not taken for finished"


def test_what_drags_in_the_wrong_packages_comes_without_them_and_may_be_missing(
    program: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wheel(program.parent / "wheels", "greedy", "2.0", "Requires-Dist: nowhere-to-be-had\n")
    with (program / "pyproject.toml").open("a") as file:
        file.write('[tool.easel]\nwithout-dependencies = ["greedy>=2,<3", "absent>=1,<2"]\n')
    environment = environment_of(program, {})
    install(environment, program, set(), os.environ)
    asked = [str(environment.python), "-c", "import greedy; print(greedy.version)"]
    assert subprocess.check_output(asked, text=True).strip() == "2.0"
    assert "absent>=1,<2 could not be installed; what needs it will say so." in capfd.readouterr().out
    assert is_current(environment, fingerprint(program), set())


def test_a_half_made_environment_is_made_anew(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, {})
    assert environment.folder is not None
    environment.folder.mkdir()
    (environment.folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    make_folder(environment, {})
    assert subprocess.run([environment.python, "-c", "import pip"], check=False).returncode == 0


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, {"VENV_DIR": "photographs"})
    assert environment.folder is not None
    environment.folder.mkdir()
    (environment.folder / "grandmother.jpg").touch()
    with pytest.raises(CannotInstall, match="exists and is no Python environment"):
        make_folder(environment, {})
    assert (environment.folder / "grandmother.jpg").exists()


def test_a_python_that_makes_no_environment_is_named(tmp_path: Path) -> None:
    odd = tmp_path / "python3.8"
    odd.write_text("#!/bin/sh\nexit 1\n")
    odd.chmod(0o755)
    with pytest.raises(CannotInstall, match=r"python3\.8 could not make an environment"):
        make_folder(environment_of(tmp_path, {}), {"PYTHON": str(odd)})


def test_what_pip_was_removing_is_cleared_away(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("~orch", "~orch-2.12.0.dist-info", "torch-2.13.0.dist-info", "numpy-2.4.6.dist-info"):
        (packages / name).mkdir(parents=True)
    (packages / "numpy-2.4.6.dist-info" / "RECORD").touch()
    remove_half_installed(tmp_path)
    assert [path.name for path in packages.iterdir()] == ["numpy-2.4.6.dist-info"]
