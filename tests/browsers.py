"""Finds the Chrome, Edge or Chromium of this machine for the browser tests; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "%ProgramFiles%\\Google\\Chrome\\Application\\chrome.exe",
    "%ProgramFiles(x86)%\\Google\\Chrome\\Application\\chrome.exe",
    "%LocalAppData%\\Google\\Chrome\\Application\\chrome.exe",
    "%ProgramFiles(x86)%\\Microsoft\\Edge\\Application\\msedge.exe",
)


def find_browser() -> str:
    """Path of a browser that playwright can drive (`executable_path`). Raises AssertionError with what to install."""
    found = [path for name in NAMES if (path := shutil.which(name))]
    found += [path for place in PLACES if Path(path := os.path.expandvars(place)).exists()]
    assert found, (
        "The browser tests need Chrome, Edge or Chromium, and none was found. On Debian and Ubuntu: "
        "sudo apt-get update && sudo apt-get install -y chromium"
    )
    return found[0]
