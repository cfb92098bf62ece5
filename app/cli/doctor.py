"""The command `doctor`: what this machine has, and the one command that repairs what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.findings import (
    Finding,
    folder_findings,
    machine_findings,
    model_findings,
    port_findings,
    python_findings,
    torch_findings,
)
from app.cli.folders import folders_of
from app.cli.torch_probe import probe_torch
from app.setup.environment import PROGRAM, environment_of
from app.setup.graphics import has_amd_card, nvidia_cards
from app.setup.torch_build import torch_build

OWN = frozenset({"json"})
SIGNS = {"ok": "  ", "note": "i ", "wrong": "! "}


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """Look at everything; 0 where nothing is wrong, 1 else."""
    parser = Parser(prog="webui.py doctor", description="What this machine has, and what repairs what is wrong.")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    options = launch_options(environ, typed, OWN)
    folders = folders_of(options)
    cards = nvidia_cards()
    build = torch_build(environ, sys.platform, cards, has_amd_card())
    findings = [
        *python_findings(environment_of(PROGRAM, environ)),
        *machine_findings(folders),
        *torch_findings(probe_torch(), cards, build),
        *folder_findings(folders),
        *model_findings(factories.library(options)),
        *port_findings(options, folders),
    ]
    repair = repair_of(findings)
    if typed.json:
        print(json.dumps({"findings": [finding._asdict() for finding in findings], "repair": repair}, indent=1))
    else:
        print(report(findings, repair))
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


def repair_of(findings: Sequence[Finding]) -> str | None:
    """The one command to run first: that of the first wrong finding which has one; they stand in the order of need."""
    return next((finding.repair for finding in findings if finding.state == "wrong" and finding.repair), None)


def report(findings: Sequence[Finding], repair: str | None) -> str:
    """The findings as a table, the repair as its last line."""
    width = max(len(finding.subject) for finding in findings) + 2
    lines = [f"{SIGNS[finding.state]}{finding.subject:<{width}}{finding.text}" for finding in findings]
    if repair is not None:
        return "\n".join([*lines, "", f"To repair it, run:  {repair}"])
    wrong = any(finding.state == "wrong" for finding in findings)
    return "\n".join([*lines, "", "What is marked with ! wants a hand." if wrong else "Nothing is wrong."])
