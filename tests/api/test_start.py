"""The page answers before torch is there: nothing of jobs and interfaces may pull it in."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "gradio", "scipy")


@pytest.mark.parametrize(
    "module", ["app.jobs", "app.access", "app.api", "app.hooks", "app.extension_host", "app.extension_api"]
)
def test_importing_it_leaves_the_heavy_packages_out(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
