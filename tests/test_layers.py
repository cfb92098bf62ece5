"""The layers of the design hold: contracts on imports, and front ends that start without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from app.setup.environment import PROGRAM

ON_THE_DEVICE = {"models", "conditioning", "networks", "samplers", "recipes", "engine", "training", "starter"}
HEAVY = {"torch", "diffusers", "transformers", "torchsde"}


def light_packages() -> list[str]:
    """Everything directly in app that is not about weights and devices; a new front end is in the list by itself."""
    inside = (PROGRAM / "app").iterdir()
    names = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").exists()}
    return sorted(names - ON_THE_DEVICE - {"__init__"})


def test_the_contracts_of_the_layers_are_kept() -> None:
    # In a process of its own: it sets up logging anew, which silences every logger that is there already.
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    child = subprocess.run([sys.executable, "-c", program], cwd=PROGRAM, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout + child.stderr


@pytest.mark.parametrize("name", light_packages())
def test_importing_a_front_end_leaves_torch_alone(name: str) -> None:
    program = f"import sys, app.{name}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", program], cwd=PROGRAM, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == []


def test_the_front_ends_that_must_stay_light_are_among_those_checked() -> None:
    assert {"web", "api", "cli", "jobs", "extension_host", "extension_api"} <= set(light_packages())


def test_the_set_up_needs_the_standard_library_alone(tmp_path: Path) -> None:
    program = "import app.setup.start, app.setup.installation, app.setup.conflicts; print('whole')"
    bare = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PROGRAM)!r}); {program}"]
    child = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (child.stdout.strip(), child.stderr) == ("whole", "")


def foreign_imports(file: Path) -> set[str]:
    """What a file of an extension imports of this program beside its interface."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name for name in names if name.partition(".")[0] == "app"} - {"app.extension_api"}


def test_built_in_extensions_import_their_own_interface_alone(tmp_path: Path) -> None:
    wrong = tmp_path / "extension.py"
    wrong.write_text("import app.engine.engine\nfrom app.jobs import Jobs\nfrom app.extension_api import hook\n")
    assert foreign_imports(wrong) == {"app.engine.engine", "app.jobs"}
    files = [file for file in (PROGRAM / "extensions").rglob("*.py") if file.parent.name != "tests"]
    assert files
    for file in files:
        assert foreign_imports(file) == set(), file
