"""A start installs only what is missing, reads COMMANDLINE_ARGS, and costs next to nothing when all is there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from app.setup import installation, suitable
from app.setup.command_line import arguments_of_environment
from app.setup.environment import PROGRAM, Environment, environment_of, fingerprint, write_stamp
from app.setup.start import HELP, QUIET, prepare, run, set_quiet
from tests.help_text import help_text


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("")
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What was installed, instead of installing it."""
    calls: list[set[str]] = []

    def install(environment: Environment, program: Path, extras: set[str], *_: object) -> None:
        calls.append(extras)

    monkeypatch.setattr(installation, "install", install)
    return calls


def finished(program: Path, extras: list[str]) -> Environment:
    environment = environment_of(program, {})
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    assert environment.folder is not None
    (environment.folder / "pyvenv.cfg").touch()
    write_stamp(environment, fingerprint(program), extras)
    return environment


def test_a_finished_environment_is_used_as_it_is(program: Path, installed: list[set[str]]) -> None:
    assert prepare(finished(program, []), program, set(), []) is False
    assert installed == []


def test_a_changed_requirement_is_installed_once_more(program: Path, installed: list[set[str]]) -> None:
    environment = finished(program, [])
    (program / "constraints.txt").write_text("torch==2.13.0\n")
    prepare(environment, program, set(), [])
    assert installed == [set()]


def test_the_tests_bring_their_own_packages(program: Path, installed: list[set[str]]) -> None:
    prepare(finished(program, []), program, {"test"}, [])
    assert installed == [{"test"}]


def test_a_suitable_python_is_used_where_there_is_no_environment(
    program: Path, installed: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suitable, "missing_packages", lambda *_: [])
    assert prepare(environment_of(program, {}), program, set(), []) is True
    assert installed == []
    monkeypatch.setattr(suitable, "missing_packages", lambda *_: ["torch is missing"])
    assert prepare(environment_of(program, {}), program, set(), []) is False
    assert installed == [set()]


def test_skip_install_installs_nothing_whatever_is_missing(program: Path, installed: list[set[str]]) -> None:
    assert prepare(environment_of(program, {}), program, set(), ["--skip-install"]) is True
    environment = finished(program, [])
    (program / "constraints.txt").write_text("torch==2.13.0\n")
    assert prepare(environment, program, set(), ["--skip-install"]) is False
    assert installed == []


def test_the_help_of_a_command_installs_nothing_either(program: Path, installed: list[set[str]]) -> None:
    assert prepare(environment_of(program, {}), program, set(), ["generate", "--help"]) is True
    assert installed == []


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--listen", "--help"]])
def test_help_is_read_before_there_are_packages_and_makes_no_environment(arguments: list[str], tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(PROGRAM)!r}); from app.setup import start; start({arguments!r}, None)"
    )
    environment = {"VENV_DIR": str(tmp_path / "none"), "PYTHONUTF8": "1"}
    told = subprocess.check_output([sys.executable, "-I", "-S", "-c", program], text=True, env=environment)
    assert told == HELP.read_text("utf-8")
    assert list(tmp_path.iterdir()) == []


def test_the_help_says_what_the_table_of_flags_says() -> None:
    assert help_text() == HELP.read_text("utf-8"), "write it anew: python -m tests.help_text"


def test_the_help_of_a_command_comes_without_torch() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(PROGRAM)!r})\nfrom app.launch import main\n"
        "try: main(['generate', '--help'])\nexcept SystemExit: print('torch' if 'torch' in sys.modules else 'without')"
    )
    lines = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()
    assert (lines[0][:22], lines[-1]) == ("usage: webui.py genera", "without")


def test_the_help_of_a_command_that_cannot_be_read_yet_says_when_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    def program(arguments: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")

    assert run(["generate", "--help"], testing=False, program=program) == 1
    assert capsys.readouterr().err == (
        "pydantic is not installed here. This help can be read once the program is installed: start it once.\n"
    )


def test_reinstall_torch_installs_although_all_is_there(program: Path, installed: list[set[str]]) -> None:
    prepare(finished(program, []), program, set(), ["--reinstall-torch"])
    assert installed == [set()]


def test_an_installation_that_cannot_be_done_ends_the_start_in_words(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise installation.CannotInstall("No connection. Run the same command again.")

    monkeypatch.setattr(installation, "install", refuse)
    monkeypatch.setattr(suitable, "missing_packages", lambda *_: ["torch is missing"])
    assert prepare(environment_of(program, {}), program, set(), []) is None
    assert capsys.readouterr().err == "No connection. Run the same command again.\n"


def test_variables_that_the_user_set_stay() -> None:
    environ = {"HF_HUB_OFFLINE": "0"}
    set_quiet(environ)
    assert environ == {**QUIET, "HF_HUB_OFFLINE": "0"}


@pytest.mark.parametrize(
    ("text", "windows", "words"),
    [
        ("--listen --port 8080", False, ["--listen", "--port", "8080"]),
        ("--data-dir '/mnt/my pictures'", False, ["--data-dir", "/mnt/my pictures"]),
        (r'--data-dir "D:\my pictures" --api', True, ["--data-dir", r"D:\my pictures", "--api"]),
        (r"--ckpt-dir D:\models", True, ["--ckpt-dir", r"D:\models"]),
        ("", True, []),
    ],
)
def test_commandline_args_are_split_as_the_platform_writes_them(text: str, windows: bool, words: list[str]) -> None:
    assert arguments_of_environment({"COMMANDLINE_ARGS": text}, windows) == words


def test_a_start_with_everything_in_place_loads_no_installer() -> None:
    heavy = {"subprocess", "importlib.metadata", "tomllib", "pip", "email", "ssl", "urllib.request"}
    program = f"import sys, app.setup.start; print(*sorted({heavy!r} & set(sys.modules)))"
    child = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PROGRAM)!r}); {program}"]
    assert subprocess.check_output(child, text=True).split() == []


def test_an_old_python_can_read_the_launcher_far_enough_to_say_what_it_needs() -> None:
    source = (PROGRAM / "webui.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 4))
    assert source.index("sys.version_info < (3, 11)") < source.index("from app")
