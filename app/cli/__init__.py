"""The command line: serve, generate, models and doctor, over factories that launch hands in; no torch here."""

from app.cli.commands import main
from app.cli.factories import Factories

__all__ = ["Factories", "main"]
