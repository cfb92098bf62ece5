"""The command line finds its sub-command, and every error is a line and an exit status, never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.places import Places

Typed = Callable[..., int]


def test_without_a_command_the_server_starts_with_the_flags(easel: Typed, places: Places) -> None:
    assert easel("--port", "8123", "--api") == 0
    assert easel("serve", "--port", "8124") == 0
    assert [(options.port, options.api) for options in places.served] == [(8123, True), (8124, False)]
    assert places.served[0].data_dir == places.folders.data


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["genrate", "a house"], 2, "There is no command 'genrate'. Did you mean generate?"),
        (["a red house"], 2, "There is no command 'a red house'. --help lists what there is."),
        (["--opt-split-attention"], 2, "--opt-split-attention is not served yet: leave it out"),
        (["generate"], 2, "The following arguments are required: prompt."),
        (["models", "info", "nothing"], 1, "There is no checkpoint named 'nothing'."),
    ],
)
def test_what_cannot_be_done_is_told_in_words(
    easel: Typed, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    assert easel(*arguments) == status
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err


def test_ctrl_c_ends_a_command_without_a_traceback(
    easel: Typed, places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(places, "serve", interrupted)
    assert easel() == 130
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize("command", [[], ["generate"], ["models"], ["doctor"]])
def test_help_names_the_flags_or_options(easel: Typed, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        easel(*command, "--help")
    assert end.value.code == 0
    told = capsys.readouterr().out
    expected = {
        "": "--data-dir FOLDER",
        "generate": "Midpoint",
        "models": "models convert NAME",
        "doctor": "--json",
    }
    assert expected["".join(command)] in told


def test_extensions_bring_commands(easel: Typed) -> None:
    assert easel("wave", "one", "--two") == 2
