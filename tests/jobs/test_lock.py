"""One process owns a data folder, says where it listens, and lets go when it ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.jobs import DataFolderLock, Holder, read_holder
from app.schema.errors import DataFolderInUse

HOLD = """
import sys, time
from pathlib import Path
from app.jobs.lock import DataFolderLock
lock = DataFolderLock(Path(sys.argv[1]))
lock.tell_address("http://127.0.0.1:7860")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state_folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def hold_elsewhere(state_folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state_folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_has_the_folder(state_folder: Path) -> None:
    process = hold_elsewhere(state_folder)
    try:
        with pytest.raises(DataFolderInUse, match=rf"process {process.pid} at http://127\.0\.0\.1:7860"):
            DataFolderLock(state_folder)
        assert read_holder(state_folder) == Holder(process.pid, "http://127.0.0.1:7860")
    finally:
        process.kill()
        process.wait()


def test_a_killed_process_holds_nothing(state_folder: Path) -> None:
    process = hold_elsewhere(state_folder)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_holder(state_folder) is None
    lock = DataFolderLock(state_folder)
    lock.release()


def test_a_folder_let_go_is_free(state_folder: Path) -> None:
    assert read_holder(state_folder) is None
    DataFolderLock(state_folder).release()
    assert read_holder(state_folder) is None
    DataFolderLock(state_folder).release()


def test_a_shorter_address_leaves_no_rest_of_the_longer(state_folder: Path) -> None:
    lock = DataFolderLock(state_folder)
    lock.tell_address("http://a-very-long-name.example:12345")
    lock.tell_address("http://b:1")
    assert (state_folder / "lock.json").read_text() == f'{{"pid": {os.getpid()}, "address": "http://b:1"}}'
    lock.release()
