"""Whether an interpreter already has the packages that pyproject.toml asks for, at versions in its ranges."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*((?:(?:>=|<)[0-9.]+,?)*)$")


class Requirement(NamedTuple):
    """One line of pyproject.toml: at_least <= version < below, numbers only; () where there is no bound."""

    name: str
    at_least: tuple[int, ...]
    below: tuple[int, ...]

    def allows(self, version: str) -> bool:
        """Whether an installed version is in the range; suffixes such as +cpu or rc1 are left out of account."""
        numbers = _numbers(version)
        return _compare(numbers, self.at_least) >= 0 and (not self.below or _compare(numbers, self.below) < 0)


def requirement_lines(program: Path, extras: Iterable[str]) -> list[str]:
    """What pyproject.toml asks for, as pip reads it: the dependencies and those of the named extras."""
    project = tomllib.loads((program / "pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in sorted(extras) for line in optional[extra])]


def detached_lines(program: Path) -> list[str]:
    """What pyproject.toml asks for without its dependencies: packages that drag in what breaks others."""
    tool = tomllib.loads((program / "pyproject.toml").read_text("utf-8")).get("tool", {})
    return list(tool.get("easel", {}).get("without-dependencies", ()))


def read_requirement(line: str) -> Requirement:
    """Our own requirements use `name>=1.2,<3` only; anything else raises ValueError, so that it is not ignored."""
    match = _REQUIREMENT.match(line)
    if match is None:
        raise ValueError(f"pyproject.toml: cannot read the requirement {line!r}")
    bounds: dict[str, tuple[int, ...]] = {">=": (), "<": ()}
    for bound in filter(None, match[2].split(",")):
        operator = ">=" if bound.startswith(">=") else "<"
        bounds[operator] = _numbers(bound.removeprefix(operator))
    return Requirement(match[1], bounds[">="], bounds["<"])


def missing_packages(program: Path, extras: Iterable[str]) -> list[str]:
    """Requirements that the running interpreter does not meet, in words; empty where nothing is to be installed."""
    problems = []
    for line in requirement_lines(program, extras):
        wanted = read_requirement(line)
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{wanted.name} is missing")
            continue
        if not wanted.allows(version):
            problems.append(f"{wanted.name} is {version}, wanted {line.removeprefix(wanted.name)}")
    return problems


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _compare(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    for one, other in itertools.zip_longest(left, right, fillvalue=0):
        if one != other:
            return 1 if one > other else -1
    return 0
