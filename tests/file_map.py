"""The README's map of the tree, a line per file: its docstring's first. `python -m tests.file_map` writes it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from app.setup.environment import PROGRAM

BEGIN = "<!-- map: written by `python -m tests.file_map` -->"
END = "<!-- end of map -->"
MAPPED = ("webui.py", "app", "extensions", "benchmarks", "tests")
HERE_ONLY_FOLDERS = ("tests",)  # their files mirror app/ under the same names


def tree(program: Path) -> str:
    """The map as text: folders and files in order, two spaces a level, each with the first line it says of itself."""
    lines = [line for name in MAPPED if (program / name).exists() for line in _entry(program / name, 0)]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name:<{width}}{words}".rstrip() for name, words in lines)


def replaced(readme: str, text: str) -> str:
    """A README with the map between its markers replaced. Raises ValueError where the markers are missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n```\n{text}\n```\n{END}{after}"


def first_line(path: Path) -> str:
    """The first line of a Python file's docstring; "" where it has none."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0].strip()


def _entry(path: Path, level: int) -> Iterator[tuple[str, str]]:
    indent = "  " * level
    if path.is_file():
        yield indent + path.name, first_line(path)
        return
    opening = path / "__init__.py"
    inside = sorted(path.iterdir(), key=lambda child: (child.is_dir(), child.name))
    children = [child for child in inside if _is_ours(child)]
    if not opening.exists() and not children:
        return
    yield f"{indent}{path.name}/", first_line(opening) if opening.exists() else ""
    if path.name not in HERE_ONLY_FOLDERS:
        for child in children:
            yield from _entry(child, level + 1)


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return not path.name.startswith((".", "__")) and any(path.rglob("*.py"))
    return path.suffix == ".py" and path.name != "__init__.py"


if __name__ == "__main__":
    file = PROGRAM / "README.md"
    try:
        file.write_text(replaced(file.read_text("utf-8"), tree(PROGRAM)), "utf-8")
    except ValueError as problem:
        sys.exit(str(problem))
