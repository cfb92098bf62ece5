"""StyleBook: the styles of a machine over all their files: listed, written and deleted, each in its own file.

Thread-safe; files changed by hand are read again each time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from app.language.style_files import read_style_files, style_menu, write_styles
from app.language.styles import Style
from app.schema.errors import InvalidField

LONGEST_NAME = 200


class StyleBook:
    """The styles of the files that `patterns` name, in their order; a new style goes to the first of them.

    Calling it gives all styles, as `Resolver` asks for them.
    """

    def __init__(self, patterns: Sequence[Path]) -> None:
        self._patterns = tuple(patterns)
        self._lock = threading.Lock()

    def __call__(self) -> tuple[Style, ...]:
        """All styles. Raises InvalidField for a file that is no table of styles."""
        return tuple(style for styles in read_style_files(self._patterns).values() for style in styles)

    def menu(self) -> tuple[str, ...]:
        """Names to choose from, with a dividing row before each file's where there are several."""
        return style_menu(read_style_files(self._patterns))

    def save(self, style: Style) -> None:
        """Writes a style in the place of the one of its name, or as a new one at the end of the first file.

        Raises InvalidField for a name that cannot be kept, DiskFull or CannotWrite.
        """
        name = style.name.strip()
        if not name or name.startswith("#") or "\n" in name or len(name) > LONGEST_NAME:
            raise InvalidField(
                f"'{name[:40]}' cannot be the name of a style.",
                field="styles",
                hint=f"A name has 1 to {LONGEST_NAME} letters on one line, and does not begin with #.",
            )
        style = style._replace(name=name)
        with self._lock:
            files = read_style_files(self._patterns)
            file = next((file for file, styles in files.items() if _place(styles, name) is not None), None)
            if file is None:
                file = next(iter(files), self._patterns[0])
                write_styles(file, (*files.get(file, ()), style))
            else:
                write_styles(file, tuple(style if known.name == name else known for known in files[file]))

    def delete(self, name: str) -> None:
        """Takes a style out of every file that has it. Raises InvalidField where none has, DiskFull or CannotWrite."""
        with self._lock:
            holding = {
                file: styles
                for file, styles in read_style_files(self._patterns).items()
                if _place(styles, name) is not None
            }
            if not holding:
                raise InvalidField(f"There is no style named '{name[:80]}'.", field="styles")
            for file, styles in holding.items():
                write_styles(file, tuple(style for style in styles if style.name != name))


def _place(styles: Sequence[Style], name: str) -> int | None:
    return next((place for place, style in enumerate(styles) if style.name == name), None)
