"""What else is installed that would break our imports: a torchvision that does not fit torch.

transformers imports torchvision wherever it can be found; one built for another torch fails there, far from its cause.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys

REMOVE_TORCHVISION = "-m pip uninstall -y torchvision"


def torchvision_problem() -> str | None:
    """Words on a torchvision in the running interpreter that breaks it; None where there is none or it fits.

    Cheap where torchvision is absent. A pair whose builds differ in their suffix may fit or not: a child process tries.
    """
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        torch = importlib.metadata.version("torch")
        torchvision = importlib.metadata.version("torchvision")
        required = importlib.metadata.requires("torchvision") or []
    except importlib.metadata.PackageNotFoundError:
        return None if _imports() else _words("", "")
    if _same_release(torch, required) and _build(torch) == _build(torchvision):
        return None
    if _same_release(torch, required) and _imports():
        return None
    return _words(torchvision, torch)


def _same_release(torch: str, required: list[str]) -> bool:
    """Whether torchvision's own metadata ask for this release of torch (`torch==2.13.0`)."""
    pins = [match[1] for line in required if (match := re.match(r"torch\s*\(?==\s*([0-9.]+)", line))]
    return torch.partition("+")[0] in pins


def _build(version: str) -> str:
    return version.partition("+")[2]


def _imports() -> bool:
    """Whether torchvision loads; takes some seconds, since it loads torch."""
    child = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False)
    return child.returncode == 0


def _words(torchvision: str, torch: str) -> str:
    return (
        f"torchvision {torchvision} is installed and does not fit torch {torch}; transformers and diffusers "
        "fail with it.\nEasel does not need torchvision. Remove it, then start again:\n"
        f"    {sys.executable} {REMOVE_TORCHVISION}"
    )
