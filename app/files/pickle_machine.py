"""Pickle machine: walks the opcodes of one pickle and yields what it describes, as inert values.

Keeps the stack, the marks and the memo, and bounds them; `pickle_opcodes` says what each opcode does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from app.files.pickle_opcodes import REFUSED, STEPS
from app.files.refused import Refused, RefusedAsUnsafe

# A checkpoint with optimizer states has some 200,000; more would keep the library busy for seconds.
MOST_OPCODES = 3_000_000

Load = Callable[[Any], Any]


class PickleMachine:
    """One run over `data` from `position` on. load: what a persistent id stands for."""

    def __init__(self, data: bytes, position: int, load: Load) -> None:
        self.data = data
        self.position = position
        self.load: Load = load
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        """The value; `position` then stands after its last opcode. Raises Refused."""
        if self.data[self.position : self.position + 1] != b"\x80":
            raise Refused("a pickle in it is of a protocol older than 2, which no model uses")
        for _ in range(MOST_OPCODES):
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                return self.pop()
            step = STEPS.get(code)
            if step is None:
                known = REFUSED.get(code)
                if known:
                    raise RefusedAsUnsafe(f"a pickle in it uses {known}, which no weights need: it may be an attack")
                raise Refused(f"a pickle in it is damaged at byte {self.position - 1:,}")
            step(self)
        raise RefusedAsUnsafe(f"a pickle in it has more than {MOST_OPCODES:,} steps")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self.data[self.position : self.position + count]
        if len(taken) != count:
            raise Refused("a pickle in it ends too early: it was copied or downloaded in part")
        self.position += count
        return taken

    def number(self, form: str) -> int:
        """The next number, in struct's notation."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def pop(self) -> Any:
        """Take the topmost value; never one from below a mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Refused("a pickle in it takes what is not there")
        return self.stack.pop()

    def top(self) -> Any:
        """The topmost value."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Refused("a pickle in it takes what is not there")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Take all values above the last mark, and the mark."""
        if not self.marks:
            raise Refused("a pickle in it takes what is not there")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def line(self) -> str:
        """The next line of text, as GLOBAL has it."""
        end = self.data.find(b"\n", self.position, self.position + 1000)
        if end < 0:
            raise Refused("a pickle in it is damaged: a name has no end")
        text = self.data[self.position : end].decode("utf-8", "replace")
        self.position = end + 1
        return text

    def remember(self, index: int) -> None:
        """Put the topmost value into the memo. Honest pickles number it one by one."""
        if index > len(self.data):
            raise RefusedAsUnsafe("a pickle in it uses a memo of absurd size")
        self.memo[index] = self.top()

    def count_copies(self, arguments: tuple[Any, ...]) -> None:
        """Keep count of what calls copy: one long text, copied a million times over, would fill the memory."""
        self.copied += sum(len(value) for value in arguments if isinstance(value, str | bytes | list | tuple | dict))
        if self.copied > 4 * len(self.data) + 1_000_000:
            raise RefusedAsUnsafe("a pickle in it grows far beyond its own size")

    def recall(self, index: int) -> None:
        """Push a value of the memo."""
        if index not in self.memo:
            raise Refused("a pickle in it recalls what it never remembered")
        self.stack.append(self.memo[index])
