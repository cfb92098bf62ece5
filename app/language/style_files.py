"""styles.csv: AUTOMATIC1111's tables of styles, read and written.

Knows the file, not what a style does. Several files may be in use at once (`--styles-file`, with wildcards).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.files import write_whole
from app.language.styles import Style
from app.schema.errors import InvalidField

_COLUMNS: Final = ("name", "prompt", "negative_prompt")


def read_styles(file: Path) -> tuple[Style, ...]:
    """The styles of one file; none where there is no file. Rows whose name begins with `#` are left out.

    UTF-8 with or without BOM; the old heading `name,text` is understood. Of two rows with one name the later counts.
    Raises InvalidField, naming the file, for anything that is not such a table.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, restkey="_more", restval="")
            named = {row["name"]: row for row in rows if not row["name"].startswith("#")}
            return tuple(
                Style(name, row["prompt"] if "prompt" in row else row["text"], row.get("negative_prompt", ""))
                for name, row in named.items()
            )
    except FileNotFoundError:
        return ()
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidField(
            f"{file.name} is not a table of styles ({type(error).__name__}: {error}).",
            field="styles",
            hint="It needs a heading name,prompt,negative_prompt and UTF-8 text.",
        ) from error


def write_styles(file: Path, styles: Iterable[Style]) -> None:
    """Write the styles of one file whole, or leave it as it was; what it held before is kept as `.bak`.

    Rows whose name begins with `#` stay, at the top. Raises DiskFull or CannotWrite.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    if file.exists():
        writer.writerows(_remarks(file))
        write_whole(file.with_name(file.name + ".bak"), file.read_bytes())
    writer.writerows(styles)
    write_whole(file, table.getvalue().encode("utf-8-sig"))


def _remarks(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [row for row in csv.reader(lines) if row and row[0].startswith("#")]


def read_style_files(patterns: Sequence[Path]) -> dict[Path, tuple[Style, ...]]:
    """The styles of every file that the patterns name, in order; `*` and `?` may stand in a file's name."""
    files: list[Path] = []
    for pattern in patterns:
        wild = any(letter in pattern.name for letter in "*?[")
        files += sorted(pattern.parent.glob(pattern.name)) if wild else [pattern]
    return {file: read_styles(file) for file in dict.fromkeys(files)}


def style_menu(files: Mapping[Path, tuple[Style, ...]]) -> tuple[str, ...]:
    """Names to choose from; with several files each one's names follow a row `---- STEM ----`."""
    names: list[str] = []
    for file, styles in files.items():
        if len(files) > 1:
            names.append(f" {file.stem.upper()} ".center(40, "-"))
        names += [style.name for style in styles]
    return tuple(names)
