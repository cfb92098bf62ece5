"""Starts Easel: makes its environment where there is none, then hands over to app.launch."""

import sys

# Written so that any Python can read it: an old one must get words, not a syntax error.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "Easel needs Python 3.11 or newer, and this is Python %d.%d.\n"  # noqa: UP031
        "Install a newer one and start with it, for example: python3.12 webui.py\n"
        "(with webui.sh and webui.bat: set PYTHON in webui-user)." % sys.version_info[:2]
    )

from app.setup import start


def program(arguments: list[str]) -> int:
    """The program itself, once its packages are there."""
    from app.launch import main  # noqa: PLC0415 - needs the packages

    return main(arguments)


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:], program))
