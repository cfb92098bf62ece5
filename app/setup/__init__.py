"""Set-up: from a bare Python to an environment that can run the program; standard library only."""

from app.setup.start import start

__all__ = ["start"]
