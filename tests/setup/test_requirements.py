"""Ranges of pyproject.toml and pins of constraints.txt belong together, and decide whether anything is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.setup.environment import PROGRAM
from app.setup.suitable import detached_lines, missing_packages, read_requirement, requirement_lines


def pins() -> dict[str, str]:
    lines = (PROGRAM / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_package_that_we_ask_for_is_pinned_inside_its_range() -> None:
    pinned = pins()
    for line in [*requirement_lines(PROGRAM, {"test"}), *detached_lines(PROGRAM)]:
        wanted = read_requirement(line)
        version = pinned[wanted.name.lower().replace("_", "-")]
        assert wanted.allows(version), f"{line} and constraints.txt's {version}"


def test_the_pin_of_torch_fits_every_build_and_torchvision_is_never_installed() -> None:
    assert pins()["torch"] == "2.13.0"
    assert "torchvision" not in pins()
    assert not any(line.startswith("torchvision") for line in requirement_lines(PROGRAM, {"test", "xformers"}))


@pytest.mark.parametrize(
    ("version", "allowed"),
    [("2.13.0", True), ("2.13", True), ("2.13.1+cu130", True), ("2.12.9", False), ("2.14.0", False), ("2.9", False)],
)
def test_a_range_reads_versions_as_numbers(version: str, allowed: bool) -> None:
    assert read_requirement("torch>=2.13,<2.14").allows(version) is allowed


def test_a_requirement_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"cannot read the requirement 'torch~=2\.13'"):
        read_requirement("torch~=2.13")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["pytest>=9", "no-such-package>=1"]\n'
        '[project.optional-dependencies]\nold = ["pytest<2"]\n'
    )
    assert missing_packages(tmp_path, set()) == ["no-such-package is missing"]
    wrong, missing = sorted(missing_packages(tmp_path, {"old"}), reverse=True)
    assert wrong.startswith("pytest is 9.")
    assert wrong.endswith(", wanted <2")
    assert missing == "no-such-package is missing"
