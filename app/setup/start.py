"""One start: finds or makes the environment, continues inside it, and calls the tests or the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path

from app.setup.command_line import arguments_of_environment
from app.setup.environment import PROGRAM, Environment, environment_of, fingerprint, is_current

# Before torch, gradio or huggingface_hub are imported. Waiting OpenMP threads that spin cost 20 times on a shared
# machine; the rest keeps the program from calling home.
QUIET = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "PYTHONUTF8": "1",
}
OFFLINE = "HF_HUB_OFFLINE"
OFFLINE_BY_US = "EASEL_SET_HF_HUB_OFFLINE"
"""Says that the user has not asked to be offline: what they expressly want downloaded may be."""
HELP = Path(__file__).with_name("help.txt")
"""What `--help` prints, written by `python -m tests.help_text`: it must be read before there are packages."""

Program = Callable[[list[str]], int]


def start(arguments: list[str], program: Program) -> int:
    """Run `webui.py` with these arguments; returns the exit status. program: imports and runs what the packages are
    for, which this layer does not know."""
    if arguments and arguments[0].startswith("-") and asks_help(arguments):
        print(HELP.read_text("utf-8"), end="")
        return 0
    set_quiet(os.environ)
    every = [*arguments_of_environment(os.environ), *arguments]
    testing = arguments[:1] == ["test"]
    environment = environment_of(PROGRAM, os.environ)
    try:
        here = prepare(environment, PROGRAM, {"test"} if testing else set(), every)
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again: the installation goes on where it was.")
        return 130
    if here is None:
        return 1
    if not here:
        return continue_inside(environment, arguments)
    return run(arguments, testing, program)


def set_quiet(environ: MutableMapping[str, str]) -> None:
    """Fill in the variables that the user has not set."""
    if OFFLINE not in environ:
        environ[OFFLINE_BY_US] = "1"
    for name, value in QUIET.items():
        environ.setdefault(name, value)


def prepare(environment: Environment, program: Path, extras: set[str], every: list[str]) -> bool | None:
    """See to it that the packages are there. True: go on in this process. False: go on inside the environment.

    None: it cannot be done, and the user has been told why.
    """
    if "--skip-install" in every or asks_help(every):
        return environment.is_running or not environment.python.exists()
    reinstall_torch = "--reinstall-torch" in every
    if not reinstall_torch:
        if is_current(environment, fingerprint(program), extras):
            return environment.is_running
        if environment.folder is None or not environment.folder.exists():
            # Late, like installation: an ordinary start needs neither.
            from app.setup.suitable import missing_packages  # noqa: PLC0415

            if not missing_packages(program, extras):
                return True
    from app.setup.installation import CannotInstall, install  # noqa: PLC0415

    try:
        install(environment, program, extras, os.environ, reinstall_torch)
    except CannotInstall as problem:
        print(problem, file=sys.stderr)
        return None
    return environment.is_running


def continue_inside(environment: Environment, arguments: list[str]) -> int:
    """Run the same command with the environment's Python; on POSIX this process becomes it."""
    command = [str(environment.python), str(PROGRAM / "webui.py"), *arguments]
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    # Windows' exec returns to the prompt at once and leaves two programs at one keyboard.
    import subprocess  # noqa: PLC0415 - Windows only

    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the child got it too and ends in its own way
            continue


def run(arguments: list[str], testing: bool, program: Program) -> int:
    """The tests, or the program, in this process, which has the packages."""
    from app.setup.conflicts import torchvision_problem  # noqa: PLC0415 - needs the packages

    helps = asks_help(arguments)
    if not testing and not helps and arguments[:1] != ["doctor"] and (problem := torchvision_problem()):
        print(problem, file=sys.stderr)
        return 1
    try:
        if testing:
            os.chdir(PROGRAM)
            from tests.__main__ import main as test  # noqa: PLC0415 - needs the extra named test

            return test(arguments[1:])
        return program(arguments)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("app") or (testing and not helps):
            raise
        hint = (
            "This help can be read once the program is installed: start it once."
            if helps
            else "Start once without --skip-install."
        )
        print(f"{missing.name} is not installed here. {hint}", file=sys.stderr)
        return 1


def asks_help(arguments: list[str]) -> bool:
    """Whether these arguments only want to be told something, for which nothing is installed."""
    return bool({"--help", "-h"} & set(arguments))
