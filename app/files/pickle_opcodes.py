"""Pickle opcodes: what each of protocols 2 to 5 does to the machine's stack; there are no others.

None imports, calls or instantiates anything.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.files.pickle_names import Name, name_of
from app.files.pickle_values import PickledTensor, Stub, called, key_of
from app.files.refused import Refused, RefusedAsUnsafe

if TYPE_CHECKING:
    from app.files.pickle_machine import PickleMachine

_LONGEST_NUMBER = 64


def _protocol(machine: PickleMachine) -> None:
    protocol = machine.number("B")
    if not 2 <= protocol <= 5:
        raise Refused(f"a pickle in it is of protocol {protocol}; 2 to 5 are read")


def _text(form: str) -> Callable[[PickleMachine], None]:
    def step(machine: PickleMachine) -> None:
        machine.stack.append(machine.take(machine.number(form)).decode("utf-8", "replace"))

    return step


def _old_text(form: str) -> Callable[[PickleMachine], None]:
    """Python 2's byte strings, which were text."""

    def step(machine: PickleMachine) -> None:
        length = machine.number(form)
        if length < 0:
            raise Refused("a pickle in it is damaged: a text of negative length")
        raw = machine.take(length)
        try:
            machine.stack.append(raw.decode("utf-8"))
        except UnicodeDecodeError:
            machine.stack.append(raw.decode("latin-1"))

    return step


def _bytes(form: str) -> Callable[[PickleMachine], None]:
    def step(machine: PickleMachine) -> None:
        machine.stack.append(machine.take(machine.number(form)))

    return step


def _integer(form: str) -> Callable[[PickleMachine], None]:
    def step(machine: PickleMachine) -> None:
        machine.stack.append(machine.number(form))

    return step


def _long(form: str) -> Callable[[PickleMachine], None]:
    def step(machine: PickleMachine) -> None:
        length = machine.number(form)
        if not 0 <= length <= _LONGEST_NUMBER:
            raise RefusedAsUnsafe("a pickle in it holds a number of absurd length")
        machine.stack.append(int.from_bytes(machine.take(length), "little", signed=True))

    return step


def _float(machine: PickleMachine) -> None:
    machine.stack.append(struct.unpack(">d", machine.take(8))[0])


def _constant(value: object) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.stack.append(value)


def _mark(machine: PickleMachine) -> None:
    machine.marks.append(len(machine.stack))


def _tuple_of(count: int) -> Callable[[PickleMachine], None]:
    def step(machine: PickleMachine) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(values)))

    return step


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise Refused("a pickle in it is damaged: a key without a value")
    return {key_of(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _append(machine: PickleMachine, values: list[Any]) -> None:
    target = machine.top()
    if isinstance(target, Stub):
        target.items.extend(values)
    elif isinstance(target, list):
        target.extend(values)
    else:
        raise Refused("a pickle in it appends to what is no list")


def _set_items(machine: PickleMachine, values: list[Any]) -> None:
    target = machine.top()
    if isinstance(target, Stub):
        target.entries.update(_pairs(values))
    elif isinstance(target, dict):
        target.update(_pairs(values))
    else:
        raise Refused("a pickle in it gives keys to what is no dictionary")


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _append_one(machine: PickleMachine) -> None:
    value = machine.pop()
    _append(machine, [value])


def _stack_global(machine: PickleMachine) -> None:
    qualified, module = machine.pop(), machine.pop()
    if not isinstance(qualified, str) or not isinstance(module, str):
        raise RefusedAsUnsafe("a pickle in it refers to something by what is no name")
    machine.stack.append(name_of(module, qualified))


def _global(machine: PickleMachine) -> None:
    module, qualified = machine.line(), machine.line()
    machine.stack.append(name_of(module, qualified))


def _reduce(machine: PickleMachine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if isinstance(arguments, tuple):
        machine.count_copies(arguments)
    machine.stack.append(called(function, arguments))


def _new_object(machine: PickleMachine) -> None:
    arguments, kind = machine.pop(), machine.pop()
    if not isinstance(kind, Name) or not isinstance(arguments, tuple):
        raise RefusedAsUnsafe("a pickle in it makes an object of what is no class")
    machine.stack.append(Stub(kind.text, arguments))


def _new_object_by_name(machine: PickleMachine) -> None:
    machine.pop()  # keyword arguments
    _new_object(machine)


def _build(machine: PickleMachine) -> None:
    """State for an object: kept with a stub, left out for values (a state dict's `_metadata`, a parameter's hooks)."""
    state, target = machine.pop(), machine.top()
    if isinstance(target, Stub):
        target.state = state
    elif not isinstance(target, dict | list | PickledTensor):
        raise RefusedAsUnsafe("a pickle in it gives a state to what has none")


def _frame(machine: PickleMachine) -> None:
    machine.take(8)  # a hint for who reads from a stream


def _pop(machine: PickleMachine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _pop_mark(machine: PickleMachine) -> None:
    machine.pop_mark()


STEPS: Mapping[int, Callable[[PickleMachine], None]] = MappingProxyType(
    {
        0x80: _protocol,
        0x95: _frame,
        ord("("): _mark,
        ord("0"): _pop,
        ord("1"): _pop_mark,
        ord("2"): lambda machine: machine.stack.append(machine.top()),  # DUP
        ord("N"): _constant(None),
        0x88: _constant(True),
        0x89: _constant(False),
        ord("J"): _integer("<i"),
        ord("K"): _integer("B"),
        ord("M"): _integer("<H"),
        0x8A: _long("B"),
        0x8B: _long("<i"),
        ord("G"): _float,
        ord("X"): _text("<I"),
        0x8C: _text("B"),
        0x8D: _text("<Q"),
        ord("U"): _old_text("B"),
        ord("T"): _old_text("<i"),
        ord("C"): _bytes("B"),
        ord("B"): _bytes("<I"),
        0x8E: _bytes("<Q"),
        0x96: _bytes("<Q"),
        ord("]"): lambda machine: machine.stack.append([]),
        ord("a"): _append_one,
        ord("e"): lambda machine: _append(machine, machine.pop_mark()),
        ord("l"): lambda machine: machine.stack.append(machine.pop_mark()),
        ord("}"): lambda machine: machine.stack.append({}),
        ord("s"): _set_item,
        ord("u"): lambda machine: _set_items(machine, machine.pop_mark()),
        ord("d"): lambda machine: machine.stack.append(_pairs(machine.pop_mark())),
        ord(")"): _constant(()),
        ord("t"): lambda machine: machine.stack.append(tuple(machine.pop_mark())),
        0x85: _tuple_of(1),
        0x86: _tuple_of(2),
        0x87: _tuple_of(3),
        0x8F: lambda machine: machine.stack.append([]),  # EMPTY_SET: see `pickle_values._set`
        0x90: lambda machine: _append(machine, machine.pop_mark()),
        0x91: lambda machine: machine.stack.append(machine.pop_mark()),
        ord("q"): lambda machine: machine.remember(machine.number("B")),
        ord("r"): lambda machine: machine.remember(machine.number("<I")),
        0x94: lambda machine: machine.remember(len(machine.memo)),
        ord("h"): lambda machine: machine.recall(machine.number("B")),
        ord("j"): lambda machine: machine.recall(machine.number("<I")),
        ord("c"): _global,
        0x93: _stack_global,
        ord("R"): _reduce,
        ord("b"): _build,
        0x81: _new_object,
        0x92: _new_object_by_name,
        ord("Q"): lambda machine: machine.stack.append(machine.load(machine.pop())),
    }
)


REFUSED: Mapping[int, str] = MappingProxyType(
    {
        ord("i"): "INST",
        ord("o"): "OBJ",
        ord("P"): "PERSID",
        0x82: "EXT1",
        0x83: "EXT2",
        0x84: "EXT4",
        0x97: "NEXT_BUFFER",
        0x98: "READONLY_BUFFER",
    }
)
