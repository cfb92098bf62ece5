"""Installing extensions: fetched and checked while the program runs, put in place at the next start; nothing is run."""

from app.installing.changes import Change, Changes
from app.installing.installer import Installation, Installer

__all__ = ["Change", "Changes", "Installation", "Installer"]
