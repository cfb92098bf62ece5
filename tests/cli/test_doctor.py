"""`doctor` tells what the machine has, and ends with the one command that repairs what is wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from app.cli import doctor
from app.cli.findings import Finding, folder_findings, port_findings, torch_findings
from app.cli.torch_probe import Device, Torch, probe_torch, serves
from app.jobs import DataFolderLock
from app.schema.flags import LaunchOptions
from app.setup.graphics import Card
from app.setup.torch_build import torch_build
from tests.cli.places import Places

Typed = Callable[..., int]

CUDA_13 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
CPU_TORCH = Torch("2.13.0+cpu", None, None, False, 2, (), (), None, None, None)
H200 = Device("NVIDIA H200", (9, 0), 143771, None)
CUDA_TORCH = CPU_TORCH._replace(version="2.13.0", cuda="13.0", devices=(H200,), architectures=CUDA_13)
CARD = Card("NVIDIA H200", (9, 0), (580, 95, 5), 143771)
ANEW = "doctor --reinstall-torch"


@pytest.mark.parametrize(
    ("architectures", "capability", "served"),
    [
        (CUDA_13, (8, 9), True),
        (CUDA_13, (9, 0), True),
        (CUDA_13, (12, 1), True),
        (CUDA_13, (6, 1), False),
        (CUDA_13, (11, 0), False),
        (("sm_90",), (12, 0), False),
        (("sm_90", "compute_90"), (12, 0), True),
        (("sm_90a", "sm_100f"), (9, 0), True),
        (("compute_120",), (9, 0), False),
        ((), (8, 0), False),
    ],
)
def test_a_build_serves_a_card_of_its_own_major_number_or_by_compiling(
    architectures: tuple[str, ...], capability: tuple[int, int], served: bool
) -> None:
    assert serves(architectures, capability) is served


def wrong(torch: Torch, *cards: Card) -> list[tuple[str, str, str]]:
    build = torch_build({}, "linux", cards)
    return [
        (finding.subject, finding.text, finding.repair)
        for finding in torch_findings(torch, cards, build)
        if finding.state == "wrong"
    ]


def test_a_torch_that_uses_its_card_and_one_without_a_card_are_well() -> None:
    assert wrong(CUDA_TORCH, CARD) == []
    assert wrong(CPU_TORCH) == []


def test_a_card_newer_than_the_build_names_both_numbers_and_the_repair() -> None:
    old = CUDA_TORCH._replace(architectures=("sm_50", "sm_60", "sm_70"))
    ((subject, text, repair),) = wrong(old, CARD)
    assert subject == "Card"
    assert "compute capability 9.0 is not in this torch (sm_50 sm_60 sm_70)" in text
    assert repair.endswith(ANEW)


def test_a_cpu_build_beside_a_card_is_wrong() -> None:
    ((_, text, repair),) = wrong(CPU_TORCH, CARD)
    assert text.startswith("NVIDIA H200: this torch has no CUDA.")
    assert repair.endswith(ANEW)


def test_a_card_that_cannot_compute_says_so() -> None:
    failing = CUDA_TORCH._replace(devices=(H200._replace(failure="AcceleratorError: no kernel image"),))
    ((_, text, _),) = wrong(failing, CARD)
    assert text.endswith("a small computation fails: AcceleratorError: no kernel image")


def test_a_torchvision_that_breaks_transformers_is_removed() -> None:
    ((subject, _, repair),) = wrong(CPU_TORCH._replace(torchvision="RuntimeError: operator torchvision::nms"))
    assert subject == "torchvision"
    assert repair.endswith("-m pip uninstall -y torchvision")


def test_the_probe_asks_the_installed_torch() -> None:
    torch = probe_torch()
    assert torch.error is None
    assert torch.cpu_failure is None
    assert torch.version.startswith("2.13.")
    assert torch.threads >= 1


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import os; os.abort()", "the process ended with status -6 (no words)"),
        ("raise ImportError('libcudart')", "the process ended with status 1 (ImportError: libcudart)"),
        ("while True: pass", "no answer within 1 seconds"),
    ],
)
def test_a_torch_that_takes_its_process_down_is_a_finding(program: str, error: str) -> None:
    torch = probe_torch(program, patience=1)
    assert torch.error == error
    ((subject, text, repair),) = wrong(torch)
    assert (subject, text) == ("torch", f"does not work: {error}")
    assert repair.endswith(ANEW)


def test_a_data_folder_that_cannot_be_written_names_another_place(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    (finding,) = folder_findings(places.folders)
    assert finding.state == "wrong"
    assert finding.text == f"{places.folders.data} cannot be written: Permission denied"
    assert "--data-dir" in finding.repair


def test_a_network_drive_is_noted(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.findings.on_network_drive", lambda folder: True)
    (finding,) = folder_findings(places.folders)
    assert (finding.state, "network drive" in finding.text) == ("note", True)


def test_a_port_that_is_taken_names_the_next(places: Places) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (finding,) = port_findings(LaunchOptions(port=port), places.folders)
    assert finding.state == "wrong"
    assert finding.repair.endswith(f"--port {port + 1}")
    (finding,) = port_findings(LaunchOptions(port=port), places.folders)
    assert finding == Finding("Port", f"{port} is free")


def test_the_port_of_our_own_server_is_no_trouble(places: Places) -> None:
    lock = DataFolderLock(places.folders.state)
    lock.tell_address("http://127.0.0.1:7860")
    (finding,) = port_findings(LaunchOptions(), places.folders)
    lock.release()
    assert finding.text.startswith("running at http://127.0.0.1:7860")


def test_the_report_ends_with_the_first_repair_in_the_order_of_need() -> None:
    findings = [
        Finding("Disk", "full", "wrong"),
        Finding("torch", "broken", "wrong", "python3 webui.py doctor --reinstall-torch"),
        Finding("Port", "taken", "wrong", "python3 webui.py --port 7861"),
    ]
    told = doctor.report(findings, doctor.repair_of(findings)).splitlines()
    assert told[0] == "! Disk   full"
    assert told[-1] == "To repair it, run:  python3 webui.py doctor --reinstall-torch"
    assert doctor.report(findings[:1], None).splitlines()[-1] == "What is marked with ! wants a hand."
    assert doctor.report([Finding("Disk", "wide")], None).splitlines()[-1] == "Nothing is wrong."


def test_the_whole_command_speaks_to_programs(
    easel: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "probe_torch", lambda: CPU_TORCH)
    monkeypatch.setattr(doctor, "nvidia_cards", lambda: [])
    assert easel("doctor", "--json") == 1, "the data folder of the test holds no checkpoint"
    told = json.loads(capsys.readouterr().out)
    subjects = [finding["subject"] for finding in told["findings"]]
    assert subjects[:2] == ["Python", "Packages"]
    assert {"System", "Memory", "Disk", "torch", "Card", "Data folder", "Checkpoints"} <= set(subjects)
    assert [finding["subject"] for finding in told["findings"] if finding["state"] == "wrong"] == ["Checkpoints"]
    assert told["repair"] is None
