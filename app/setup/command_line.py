"""The arguments of a start: those of COMMANDLINE_ARGS first, then those typed, so that what is typed wins."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping


def arguments_of_environment(environ: Mapping[str, str], windows: bool = os.name == "nt") -> list[str]:
    """The words of COMMANDLINE_ARGS, split as the platform's shell would.

    On Windows a backslash is a part of a path there, not an escape.
    """
    text = environ.get("COMMANDLINE_ARGS", "")
    if not windows:
        return shlex.split(text)
    words = shlex.split(text, posix=False)
    return [word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word for word in words]
