"""Refused: why a model file is not read, in words, until an error names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.schema.errors import BrokenModelFile, ModelNotFound, UnsafeModelFile, UnsupportedModel

_HINT = "Copy or download it again."


class Refused(Exception):
    """A reason in words that follow '<file> is not usable: '."""


class RefusedAsUnsafe(Refused):
    """The same for what no honest program writes."""


class RefusedAsUnsupported(Refused):
    """The same for a sound file in a form that is not read here."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn reasons into errors that name the file.

    Raises ModelNotFound, BrokenModelFile, UnsafeModelFile, UnsupportedModel.
    """
    try:
        yield
    except FileNotFoundError:
        raise ModelNotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise BrokenModelFile(f"{path} cannot be read: {error.strerror or error}.") from error
    except RefusedAsUnsafe as reason:
        raise UnsafeModelFile(f"{path.name} is refused: {reason}.") from None
    except RefusedAsUnsupported as reason:
        raise UnsupportedModel(f"{path.name} cannot be used: {reason}.") from None
    except Refused as reason:
        raise BrokenModelFile(f"{path.name} is not usable: {reason}.", hint=_HINT) from None
