"""Flags: every one of A1111's is served, refused with what to do instead, or named as without effect; none vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.folders import folders_of
from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA, VAE
from app.schema.errors import InvalidField, NotServedYet, UnknownChoice
from app.schema.flags import FLAGS, LaunchOptions, Login, read_logins

# Section 7 of the facts sheet on A1111, by name.
A1111 = """
share listen port server-name subpath ngrok ngrok-options gradio-auth gradio-auth-path api nowebui api-auth api-log
api-server-stop cors-allow-origins cors-allow-origins-regex tls-keyfile tls-certfile disable-tls-verify
enable-insecure-extension-access autolaunch theme use-textbox-seed hide-ui-dir-config freeze-settings
freeze-settings-in-sections freeze-specific-settings data-dir models-dir ckpt ckpt-dir no-download-sd-model vae-dir
vae-path lora-dir lyco-dir-backcompat embeddings-dir hypernetwork-dir textual-inversion-templates-dir localizations-dir
esrgan-models-path realesrgan-models-path swinir-models-path scunet-models-path ldsr-models-path dat-models-path
gfpgan-models-path codeformer-models-path clip-models-path bsrgan-models-path styles-file ui-config-file
ui-settings-file config medvram medvram-sdxl lowvram lowram no-half no-half-vae precision upcast-sampling xformers
force-enable-xformers xformers-flash-attention opt-sdp-attention opt-sdp-no-mem-attention opt-sub-quad-attention
sub-quad-q-chunk-size sub-quad-kv-chunk-size sub-quad-chunk-threshold opt-split-attention opt-split-attention-v1
opt-split-attention-invokeai disable-opt-split-attention opt-channelslast use-cpu device-id disable-nan-check
disable-safe-unpickle no-hashing allow-code disable-all-extensions disable-extra-extensions update-all-extensions
skip-install skip-prepare-environment skip-torch-cuda-test skip-python-version-check skip-version-check reinstall-torch
reinstall-xformers update-check ui-debug-mode skip-load-model-at-start test-server loglevel log-startup dump-sysinfo
gradio-allowed-path no-gradio-queue timeout-keep-alive disable-console-progressbars no-progressbar-hiding
no-prompt-history unix-filenames-sanitization filenames-max-length deepdanbooru always-batch-cond-uncond unload-gfpgan
max-batch-count show-negative-prompt gradio-queue gradio-img2img-tool gradio-inpaint-tool ngrok-region add-stop-route
enable-console-prompts
"""
OURS = {"device", "no-browser", "unet-in-fp8-e4m3fn", "unet-in-fp8-e5m2"}


def options(*arguments: str, environ: dict[str, str] | None = None) -> LaunchOptions:
    parser = Parser(prog="webui.py")
    add_flags(parser)
    return launch_options(environ or {}, read(parser, arguments, environ or {}))


def test_every_flag_of_a1111_has_its_place_once() -> None:
    names = [row.name.removeprefix("--") for row in FLAGS]
    assert sorted(names) == sorted(set(names))
    assert set(A1111.split()) | OURS <= set(names)


def test_every_refused_flag_says_what_to_do_instead() -> None:
    assert [row.name for row in FLAGS if row.status in ("not yet", "never") and not row.words] == []


@pytest.mark.parametrize("row", [row for row in FLAGS if row.status in ("not yet", "never")], ids=lambda row: row.name)
def test_a_flag_that_is_not_served_is_never_silently_ignored(row: object) -> None:
    name, kind, words = row.name, row.kind, row.words  # type: ignore[attr-defined]
    with pytest.raises(NotServedYet) as refusal:
        options(name, *(["value"] if kind == "value" else []))
    assert str(refusal.value).startswith(name)
    assert words in str(refusal.value)


def test_flags_that_ask_for_what_is_so_anyway_and_those_that_a1111_ignores_are_accepted() -> None:
    accepted = [row for row in FLAGS if row.status in ("always so", "ignored")]
    words = [word for row in accepted for word in ([row.name, "7"] if row.kind == "value" else [row.name])]
    assert options(*words) == LaunchOptions()


def test_served_flags_arrive_with_their_types() -> None:
    said = options(
        "--port", "8080", "--listen", "--data-dir=/srv/easel", "--cors-allow-origins", "http://a, http://b",
        "--use-cpu", "all", "--precision", "full", "--loglevel", "debug",
    )  # fmt: skip
    assert said.port == 8080
    assert (said.host, said.wanted_port) == ("0.0.0.0", 8080)
    assert said.data_dir == Path("/srv/easel")
    assert said.cors_allow_origins == ("http://a", "http://b")
    assert (said.wanted_device, said.wanted_precision) == ("cpu", "fp32")
    assert said.loglevel == "DEBUG"


def test_several_tables_of_styles_may_be_named() -> None:
    said = options("--styles-file", "/srv/one.csv", "--listen", "--styles-file", "/srv/more/*.csv")
    assert said.styles_file == (Path("/srv/one.csv"), Path("/srv/more/*.csv"))
    assert options().styles_file == ()


def test_relative_folders_are_meant_from_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert options("--ckpt-dir", "mine").ckpt_dir == (tmp_path / "mine",)
    assert options("--data-dir", "all").data_dir == tmp_path / "all"


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("--ckpt-dir", CHECKPOINT),
        ("--vae-dir", VAE),
        ("--lora-dir", LORA),
        ("--embeddings-dir", EMBEDDING),
        ("--hypernetwork-dir", HYPERNETWORK),
    ],
)
def test_a_folder_of_models_may_be_named_more_than_once(flag: str, kind: str) -> None:
    said = options(flag, "/srv/one", "--listen", flag, "/srv/二 🎨")
    found = folders_of(said).of_kind(kind)
    assert [folder for folder in found if str(folder).startswith("/srv")] == [Path("/srv/one"), Path("/srv/二 🎨")]


def test_the_folder_of_what_restores_faces_may_be_another() -> None:
    assert folders_of(options("--gfpgan-models-path", "/srv/faces")).face_restorers[0] == Path("/srv/faces")


@pytest.mark.parametrize(
    ("arguments", "host", "port"),
    [
        ([], "127.0.0.1", 7860),
        (["--nowebui"], "127.0.0.1", 7861),
        (["--listen"], "0.0.0.0", 7860),
        (["--listen", "--server-name", "10.0.0.7"], "10.0.0.7", 7860),
    ],
)
def test_the_usual_addresses_are_a1111s(arguments: list[str], host: str, port: int) -> None:
    assert (options(*arguments).host, options(*arguments).wanted_port) == (host, port)


def test_the_browser_opens_for_the_person_at_this_machine() -> None:
    assert options().opens_browser
    assert not options("--no-browser").opens_browser
    assert not options("--listen").opens_browser
    assert options("--listen", "--autolaunch").opens_browser
    assert not options("--autolaunch", "--no-browser").opens_browser


@pytest.mark.parametrize(
    ("arguments", "precision"),
    [
        ([], "auto"),
        (["--precision", "autocast"], "auto"),
        (["--no-half"], "fp32"),
        (["--precision", "half"], "fp16"),
        (["--precision", "bf16"], "bf16"),
        (["--precision", "half", "--no-half"], "fp32"),
    ],
)
def test_a1111s_words_for_precision_become_a_requests(arguments: list[str], precision: str) -> None:
    assert options(*arguments).wanted_precision == precision


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prot", "8080"], "There is no --prot. Did you mean --port"),
        (["--xformer"], "There is no --xformer. Did you mean --xformers"),
        (["--port"], "--port expected one argument."),
        (["--port", "eighty"], "--port should be a valid integer"),
        (["--port", "70000"], "--port should be less than or equal to 65535."),
        (["--precision", "double"], "--precision should be 'autocast', 'full', 'half', 'fp32', 'bf16' or 'fp16'."),
        (["--use-cpu", "gfpgan"], "--use-cpu 'gfpgan' alone cannot be moved to the CPU yet"),
        (["picture"], "'picture' is one argument too many."),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_comes_near(arguments: list[str], words: str) -> None:
    with pytest.raises(InvalidField) as problem:
        options(*arguments)
    assert words in str(problem.value)


def test_several_refused_flags_are_told_at_once() -> None:
    with pytest.raises(NotServedYet) as refusal:
        options("--opt-split-attention", "--disable-safe-unpickle")
    first, second = str(refusal.value).splitlines()
    assert first.startswith("--opt-split-attention is not served yet: leave it out")
    assert second.startswith("--disable-safe-unpickle is refused: A checkpoint that carries code can take over")


def test_commandline_args_come_before_what_is_typed() -> None:
    said = options("--port", "1", environ={"COMMANDLINE_ARGS": "--port 2 --api"})
    assert (said.port, said.api) == (1, True)


def test_ignore_cmd_args_errors_tells_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    lenient = {"IGNORE_CMD_ARGS_ERRORS": "1"}
    assert options("--opt-split-attention", "--frobnicate", "--api", environ=lenient).api is True
    told = capsys.readouterr().err
    assert "--opt-split-attention is not served yet" in told
    assert "There is no --frobnicate." in told


def test_unknown_flags_in_commandline_args_are_told_too() -> None:
    with pytest.raises(UnknownChoice, match=r"There is no --lisen\. Did you mean --listen"):
        options(environ={"COMMANDLINE_ARGS": "--lisen"})


def test_passwords_are_shown_nowhere() -> None:
    said = options("--gradio-auth", "ann:sesame", "--api-auth", "bob:open")
    for shown in (repr(said), str(said), str(said.model_dump()), said.model_dump_json()):
        assert "sesame" not in shown
        assert "open" not in shown
    with pytest.raises(InvalidField) as problem:
        options("--gradio-auth", "sesame")
    assert str(problem.value) == "--gradio-auth login 1 is not of the form user:password."


def test_logins_are_read_as_a1111_writes_them() -> None:
    assert read_logins("ann:se:same, bob:open\n\ncid:x,") == (
        Login("ann", "se:same"),
        Login("bob", "open"),
        Login("cid", "x"),
    )
