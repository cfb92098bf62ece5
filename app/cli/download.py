"""The command `models download`: fetches a model from a repository or an address into its folder."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.files import KINDS, Download, Downloads
from app.schema.errors import InvalidField

OWN = frozenset({"source", "file", "kind", "sha256", "token", "json", "files"})
_WIDTH = 30
_DESCRIPTION = """\
Fetches a model from a Hugging Face repository (org/name, org/name/file.safetensors, or its address), from a page of
civitai.com or from any address, looks into it, and puts it into the folder that its content asks for. Stopped or
killed, it goes on with the same command. HF_ENDPOINT, HF_TOKEN, CIVITAI_TOKEN and proxies of the environment count.
Exit status: 0 when it is there, 1 when it failed, 2 when it was not understood, 130 when it was stopped."""


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models download SOURCE`."""
    parser = Parser(prog="webui.py models download", description=_DESCRIPTION)
    parser.add_argument("source", help="org/name, org/name/file.safetensors or https://...")
    parser.add_argument("--file", default="", help="which file of a repository; without it, its only model")
    parser.add_argument("--files", action="store_true", help="only list the models of a repository")
    parser.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"instead of the content's: {', '.join(KINDS)}")
    parser.add_argument("--sha256", help="the checksum that the file must have")
    parser.add_argument("--token", help="of your account there; better in HF_TOKEN or CIVITAI_TOKEN")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    with factories.downloads(launch_options(environ, typed, OWN)) as downloads:
        if typed.files:
            return _list(downloads, typed.source, typed.token, typed.json)
        started = downloads.start(
            typed.source, file=typed.file, kind=typed.kind, sha256=typed.sha256, token=typed.token, lasting=False
        )
        download = _followed(downloads, started, shown=sys.stderr.isatty() and not typed.json)
    if typed.json:
        print(json.dumps(dataclasses.asdict(download), indent=1, ensure_ascii=False))
    elif download.state == "done":
        print(f"{download.path} ({download.kind})")
    if download.state == "done":
        if download.message:
            print(download.message, file=sys.stderr)
        return 0
    print(f"{download.message} {download.hint}".strip(), file=sys.stderr)
    return 2 if download.code == InvalidField.code else 1


def bar(download: Download) -> str:
    """One line: how far, how fast, how long still; or what keeps it from going on."""
    if download.message:
        return download.message
    have = f"{download.received / 1e6:,.1f}"
    speed = f"{download.speed / 1e6:,.1f} MB/s"
    if not download.total:
        return f"{download.name}  {have} MB  {speed}"
    done = int(_WIDTH * min(download.received / download.total, 1.0))
    eta = "" if download.eta is None else f"  {int(download.eta) // 60}:{int(download.eta) % 60:02d} left"
    drawn = f"[{'#' * done}{'.' * (_WIDTH - done)}]"
    return f"{download.name}  {drawn}  {have} of {download.total / 1e6:,.1f} MB  {speed}{eta}"


def _followed(downloads: Downloads, download: Download, shown: bool) -> Download:
    width = 0
    while not download.over:
        # A limit, so that Ctrl+C is noticed on Windows too, where a wait without one cannot be interrupted.
        download = downloads.wait(download.id, 1.0)
        if shown:
            line = bar(download)
            print(f"\r{line:<{width}}", end="", file=sys.stderr, flush=True)
            width = max(width, len(line))
    if shown and width:
        print(file=sys.stderr)
    return download


def _list(downloads: Downloads, source: str, token: str | None, as_json: bool) -> int:
    files = downloads.files_in(source, token=token)
    if as_json:
        rows = [{"file": file.path, "size": file.size, "sha256": file.sha256 or None} for file in files]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    for file in files:
        print(f"{'' if file.size is None else f'{file.size / 1e6:,.1f} MB':>14}  {file.path}")
    print(f"{len(files)} models.")
    return 0
