"""What `webui.py --help` prints, by the table of flags; `python -m tests.help_text` writes it where it is read."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO

from app.cli import main
from app.launch.factories import Launch
from app.setup.start import HELP

WIDTH = "100"


def help_text() -> str:
    """The help of the parser itself, at one width."""
    written, before = StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with redirect_stdout(written):
            main(["--help"], Launch(), {})
    except SystemExit:
        return written.getvalue()
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    raise AssertionError("--help did not end the program")


if __name__ == "__main__":
    HELP.write_text(help_text(), "utf-8")
