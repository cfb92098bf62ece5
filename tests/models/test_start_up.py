"""Importing the models layer is cheap: the page must answer before diffusers and transformers are there."""

from __future__ import annotations

import subprocess
import sys


def test_importing_models_and_networks_brings_neither_diffusers_nor_transformers() -> None:
    code = (
        "import sys, app.models, app.networks;"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'diffusers', 'transformers', 'gradio', 'PIL'}))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "['PIL']"
