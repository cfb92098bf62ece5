"""The build of torch follows the user's word, then the machine's cards."""

from __future__ import annotations

import pytest

from app.setup.graphics import Card, read_card
from app.setup.torch_build import BUILDS, torch_build

PASCAL = Card("GTX 1080", (6, 1), (576, 80), 8192)
TURING = Card("RTX 2080", (7, 5), (580, 65, 6), 8192)
ADA_WITH_AN_OLD_DRIVER = Card("RTX 4090", (8, 9), (551, 86), 24564)
BLACKWELL = Card("RTX 5090", (12, 0), (580, 95, 5), 32607)
BLACKWELL_WITH_AN_OLD_DRIVER = Card("RTX 5090", (12, 0), (572, 16), 32607)


@pytest.mark.parametrize(
    ("platform", "cards", "source"),
    [
        ("linux", [TURING], None),
        ("linux", [BLACKWELL], None),
        ("win32", [TURING], "cu130"),
        ("win32", [BLACKWELL], "cu130"),
        ("linux", [PASCAL], "cu126"),
        ("win32", [PASCAL, TURING], "cu126"),
        ("linux", [ADA_WITH_AN_OLD_DRIVER], "cu126"),
        ("linux", [PASCAL, BLACKWELL], None),
        ("win32", [BLACKWELL_WITH_AN_OLD_DRIVER], "cu130"),
        ("linux", [], "cpu"),
        ("win32", [], None),
        ("darwin", [], None),
    ],
)
def test_each_machine_gets_the_build_that_its_cards_can_use(
    platform: str, cards: list[Card], source: str | None
) -> None:
    assert torch_build({}, platform, cards).source == (source and BUILDS + source)


def test_the_users_word_comes_first() -> None:
    command = "pip install torch==2.13.0+cu126 --extra-index-url https://wheels.example"
    assert torch_build({"TORCH_COMMAND": command}, "linux", [TURING]).command == command
    mirror = torch_build({"TORCH_INDEX_URL": "https://wheels.example"}, "win32", [TURING])
    assert (mirror.source, mirror.required) == ("https://wheels.example", True)


def test_a_mirror_of_the_users_is_not_bypassed_for_a_cpu_build() -> None:
    assert torch_build({}, "linux", [], own_sources=True).source is None
    assert torch_build({}, "linux", []).required is False


def test_what_stays_unusable_is_said() -> None:
    assert "GTX 1080 stays unused" in torch_build({}, "linux", [PASCAL, BLACKWELL]).words
    assert "needs a newer NVIDIA driver (driver 572" in torch_build({}, "win32", [BLACKWELL_WITH_AN_OLD_DRIVER]).words
    assert "TORCH_INDEX_URL" in torch_build({}, "linux", [], amd=True).words


def test_a_line_of_nvidia_smi_is_read_with_and_without_its_capability() -> None:
    assert read_card("NVIDIA H200, 580.95.05, 143771, 9.0") == Card("NVIDIA H200", (9, 0), (580, 95, 5), 143771)
    assert read_card("Tesla K80, 470.42, 11441") == Card("Tesla K80", (0, 0), (470, 42), 11441)
    assert read_card("GB10, 580.95.05, [N/A], 12.1") == Card("GB10", (12, 1), (580, 95, 5), 0)
