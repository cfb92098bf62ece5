"""Extensions are found, asked and isolated: what one does wrong is its own affair."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from app import extension_api
from app.extension_host import MODULE_PREFIX, ExtensionHost
from app.hooks import Registry
from app.jobs.expand import expand
from app.launch.workshop import disabled_extensions
from app.schema.settings import SettingValues
from tests.jobs.workplace import request, resolve

NAMED = """
from app.extension_api import SamplerEntry, SamplerName, hook

@hook
def register_samplers():
    return [SamplerEntry(SamplerName({name!r}), lambda: None)]
"""


@pytest.fixture(autouse=True)
def forget_modules() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith(MODULE_PREFIX)]:
        del sys.modules[name]


def write(folder: Path, name: str, text: str, **others: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "extension.py").write_text(dedent(text))
    for other, content in others.items():
        (folder / name / f"{other}.py").write_text(dedent(content))


def hosted(folder: Path, **options: object) -> tuple[ExtensionHost, Registry]:
    registry = Registry()
    host = ExtensionHost([folder], registry, **options)  # type: ignore[arg-type]
    host.load()
    host.load_for_engine()
    return host, registry


def states(host: ExtensionHost) -> dict[str, str]:
    return {extension.name: extension.state for extension in host.extensions}


def test_extensions_answer_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "b-two", NAMED.format(name="two"))
    write(tmp_path, "a_one", NAMED.format(name="one"))
    (tmp_path / "no-extension").mkdir()
    host, registry = hosted(tmp_path)
    assert states(host) == {"a_one": "loaded", "b-two": "loaded"}
    assert [(owner, entry.name) for owner, entry in registry.owners("register_samplers")] == [
        ("a_one", "one"),
        ("b-two", "two"),
    ]
    assert list(registry.table("register_samplers")) == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError"),
        ("this is no python", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("1 / 0", "ZeroDivisionError"),
        ("from app.extension_api import NoSuchName", "NoSuchName"),
        ("from app.extension_api import hook\n@hook\ndef register_nonsense(): return []", "register_nonsense"),
        ("from app.extension_api import hook\n@hook\ndef register_tabs(page): return []", "register_tabs"),
        ("from app.extension_api import hook\n@hook\ndef register_tabs(): raise RuntimeError('no')", "RuntimeError"),
        ("from app.extension_api import hook\n@hook\ndef register_samplers(): return None", "TypeError"),
        ("from app.extension_api import hook\n@hook\ndef register_samplers(): return ['Mine']", "is no SamplerEntry"),
    ],
)
def test_a_broken_extension_is_marked_and_the_others_run(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, "a_broken", text)
    write(tmp_path, "good", NAMED.format(name="good"))
    host, registry = hosted(tmp_path)
    assert states(host) == {"a_broken": "failed", "good": "loaded"}
    assert words in host.extensions[0].problem
    assert [entry.name for entry in registry.entries("register_samplers")] == ["good"]
    assert f"{MODULE_PREFIX}.good" in sys.modules


def test_what_a_failed_extension_had_registered_is_taken_back(tmp_path: Path) -> None:
    text = """
        from app.extension_api import hook

        @hook
        def register_tabs():
            return [print]

        @hook
        def register_stages():
            raise RuntimeError("too late")
    """
    write(tmp_path, "half", text)
    host, registry = hosted(tmp_path)
    assert states(host) == {"half": "failed"}
    assert registry.entries("register_tabs") == ()


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a_first", NAMED.format(name="Mine"))
    write(tmp_path, "copycat", NAMED.format(name="mine"))
    write(tmp_path, "euler", NAMED.format(name="K_Euler"))
    host, registry = hosted(tmp_path)
    assert states(host) == {"a_first": "loaded", "copycat": "failed", "euler": "failed"}
    assert "the name 'mine' is taken by a_first" in host.extensions[1].problem
    assert "the name 'K_Euler' is taken by the program itself" in host.extensions[2].problem
    assert [entry.name for entry in registry.entries("register_samplers")] == ["Mine"]


def test_a_disabled_extension_is_not_even_imported(tmp_path: Path) -> None:
    write(tmp_path, "off", "raise SystemExit")
    host, _ = hosted(tmp_path, disabled={"off"})
    assert states(host) == {"off": "disabled"}


def test_an_extension_may_have_several_files_and_hides_no_package(tmp_path: Path) -> None:
    write(
        tmp_path,
        "json",
        "from app.extension_api import hook\nfrom .parts import command\n"
        "@hook\ndef register_commands():\n    return [command]\n",
        parts="import json\nfrom app.extension_api import Command\ncommand = Command(json.dumps('x'), '', len)\n",
    )
    host, registry = hosted(tmp_path)
    assert states(host) == {"json": "loaded"}
    assert [entry.name for entry in registry.entries("register_commands")] == ['"x"']


def test_the_first_of_two_folders_counts(tmp_path: Path) -> None:
    write(tmp_path / "built-in", "same", NAMED.format(name="first"))
    write(tmp_path / "installed", "same", NAMED.format(name="second"))
    registry = Registry()
    host = ExtensionHost([tmp_path / "built-in", tmp_path / "installed"], registry)
    host.load()
    host.load_for_engine()
    assert [entry.name for entry in registry.entries("register_samplers")] == ["first"]


def test_answers_during_work_are_joined_and_a_failing_one_is_left_out(tmp_path: Path) -> None:
    for name, body in [("adds", "return [('Note', 'hello')]"), ("breaks", "raise RuntimeError")]:
        write(
            tmp_path,
            name,
            f"from app.extension_api import hook\n@hook\ndef image_saving(plan):\n    {body}\n"
            "@hook\ndef job_finished(job):\n    raise RuntimeError\n",
        )
    host, registry = hosted(tmp_path)
    (plan,) = expand("job", "anna", resolve(request()))
    assert registry.image_saving(plan) == [("Note", "hello")]
    registry.job_finished("job")
    assert states(host) == {"adds": "loaded", "breaks": "loaded"}


def test_every_promised_name_is_there() -> None:
    assert dir(extension_api) == sorted(extension_api.__all__)
    for name in extension_api.__all__:
        assert getattr(extension_api, name) is not None


def test_the_interface_is_imported_without_torch_until_it_is_needed() -> None:
    program = (
        "import sys, app.extension_api as api; before = 'torch' in sys.modules; api.Point; "
        "print(before, 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True"]


def test_one_that_hangs_is_marked_with_where_it_hangs_and_the_others_run(tmp_path: Path) -> None:
    write(tmp_path, "a_hangs", "import threading\nthreading.Event().wait(60)  # here it hangs")
    write(
        tmp_path,
        "b_hangs_when_asked",
        "from app.extension_api import hook\nimport threading\n\n@hook\ndef register_tabs():\n"
        "    threading.Event().wait(60)\n    return []\n",
    )
    write(tmp_path, "good", NAMED.format(name="good"))
    host, registry = hosted(tmp_path, patience=0.3)
    assert states(host) == {"a_hangs": "failed", "b_hangs_when_asked": "failed", "good": "loaded"}
    assert "did not come back within 0.3 seconds" in host.extensions[0].problem
    assert "here it hangs" in host.extensions[0].problem
    assert [entry.name for entry in registry.entries("register_samplers")] == ["good"]


def test_one_that_comes_back_late_changes_nothing(tmp_path: Path) -> None:
    text = """
        import threading
        from types import SimpleNamespace
        from app.extension_api import hook

        go_on, done = threading.Event(), threading.Event()

        @hook
        def register_stages():
            go_on.wait(10)
            done.set()
            return [SimpleNamespace(name="late")]
    """
    write(tmp_path, "late", text)
    host, registry = hosted(tmp_path, patience=0.3)
    module = sys.modules[f"{MODULE_PREFIX}.late"]
    module.go_on.set()
    assert module.done.wait(10)
    assert states(host) == {"late": "failed"}
    assert registry.entries("register_stages") == ()


def test_an_answer_during_work_that_hangs_costs_its_time_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        "hangs",
        "import threading\nfrom app.extension_api import hook\n@hook\ndef image_saving(plan):\n"
        "    threading.Event().wait(60)\n    return []\n",
    )
    registry = Registry(work_seconds=0.2)
    host = ExtensionHost([tmp_path], registry)
    host.load()
    (plan,) = expand("job", "anna", resolve(request()))
    began = time.monotonic()
    assert [registry.image_saving(plan) for _ in range(20)] == [[]] * 20
    assert time.monotonic() - began < 2
    assert "In image_saving" in host.extensions[0].problem


def test_what_fails_during_work_is_shown_and_stays(tmp_path: Path) -> None:
    text = "from app.extension_api import hook\n@hook\ndef job_finished(job):\n    raise RuntimeError(job)\n"
    write(tmp_path, "breaks", text)
    host, registry = hosted(tmp_path)
    registry.job_finished("j1")
    assert (host.extensions[0].state, "RuntimeError: j1" in host.extensions[0].problem) == ("loaded", True)


def test_the_settings_say_which_are_left_out(tmp_path: Path) -> None:
    for name in ("hires_fix", "mine", "theirs"):
        write(tmp_path, name, "")
    for values, left_out in (
        ({"disabled_extensions": ()}, set()),
        ({"disabled_extensions": ("mine",)}, {"mine"}),
        ({"disabled_extensions": (), "disable_all_extensions": "extra"}, {"mine", "theirs"}),
        ({"disabled_extensions": (), "disable_all_extensions": "all"}, {"hires_fix", "mine", "theirs"}),
    ):
        settings = SettingValues.model_validate(values)
        assert disabled_extensions([tmp_path], settings) == left_out


def test_what_it_is_about_is_read_without_running_it(tmp_path: Path) -> None:
    write(tmp_path, "a", '"""Draws cats.\n\nMore."""\nraise SystemExit')
    write(tmp_path, "b", "raise SystemExit")
    (tmp_path / "b" / "README.md").write_text("# Draws dogs\n")
    host = ExtensionHost([tmp_path], Registry(), disabled=["a", "b"])
    assert [extension.about for extension in host.extensions] == ["Draws cats.", "Draws dogs"]
