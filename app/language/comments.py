"""Comments in prompts: `#` and what follows it on its line is left out."""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = re.compile(r"(?:\A|\n)#.*\n?")
_REST_OF_LINE: Final = re.compile(r"#.*\n?")


def without_comments(prompt: str) -> str:
    """The prompt without its comments; where one stood, a line break stays (a1111-facts 2.1).

    Lines that are nothing but a comment go first, so that they leave no empty line behind.
    """
    return _REST_OF_LINE.sub("\n", _LINE.sub("\n", prompt)) if "#" in prompt else prompt
