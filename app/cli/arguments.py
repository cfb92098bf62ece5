"""Reads argument lists by the table of flags: LaunchOptions come out, or words on what is wrong and what comes near."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from app.schema.errors import InvalidField, NotServedYet, UnknownChoice
from app.schema.flags import FLAGS, FlagRow, LaunchOptions
from app.setup.command_line import arguments_of_environment

LENIENT = "IGNORE_CMD_ARGS_ERRORS"
ROWS = {row.name: row for row in FLAGS}


class Parser(argparse.ArgumentParser):
    """argparse with whole names only, and errors that are raised."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        if not message.startswith("argument "):
            raise InvalidField(f"{message[:1].upper()}{message[1:]}.", hint="--help lists what there is.")
        field, _, words = message.removeprefix("argument ").partition(": ")
        raise InvalidField(f"{field} {words}.", field=field, hint="--help lists what there is.")


class _Unserved(argparse.Action):
    """Notes that a flag without effect was given, and takes its value along."""

    def __call__(
        self, _parser: object, namespace: argparse.Namespace, _values: object, name: str | None = None
    ) -> None:
        namespace.unserved = [*getattr(namespace, "unserved", []), name]


def add_flags(parser: argparse.ArgumentParser, hidden: bool = False) -> None:
    """Let a parser read all flags, save those whose names it reads already. hidden: leave them out of its help."""
    group = parser.add_argument_group("flags of a start")
    taken = set(known_names(parser))
    for row in FLAGS:
        if row.name not in taken:
            _add(group, row, hidden)


def known_names(parser: argparse.ArgumentParser) -> list[str]:
    """Every option that a parser reads."""
    return [name for action in parser._actions for name in action.option_strings]


def read(parser: argparse.ArgumentParser, arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """The arguments of one parser; unknown ones raise UnknownChoice with near names (or are left out, if so wished)."""
    namespace, unknown = parser.parse_known_args(list(arguments))
    for word in unknown:
        problem = _unknown(word, known_names(parser))
        if not environ.get(LENIENT):
            raise problem
        print(f"{problem} Left out.", file=sys.stderr)
    return namespace


def launch_options(
    environ: Mapping[str, str], typed: argparse.Namespace | None = None, typed_names: frozenset[str] = frozenset()
) -> LaunchOptions:
    """The flags of COMMANDLINE_ARGS with those typed over them.

    typed_names: names in `typed` that are no flags of a start. Raises NotServedYet for flags that are refused,
    InvalidField for values that cannot be.
    """
    flags = Parser(prog="COMMANDLINE_ARGS", add_help=False)
    add_flags(flags)
    merged = vars(read(flags, arguments_of_environment(environ), environ))
    unserved = merged.pop("unserved", [])
    if typed is not None:
        said = {name: value for name, value in vars(typed).items() if name not in typed_names}
        unserved = [*unserved, *said.pop("unserved", [])]
        merged |= said
    _refuse([ROWS[name] for name in dict.fromkeys(unserved)], environ)
    try:
        return LaunchOptions.model_validate(merged)
    except ValidationError as error:
        raise _words(error) from None


def _add(group: argparse._ArgumentGroup, row: FlagRow, hidden: bool) -> None:
    field = row.name.removeprefix("--").replace("-", "_")
    if row.status != "served":
        count = {"switch": 0, "value": 1, "values": "+", "repeated": 1}[row.kind]
        group.add_argument(row.name, action=_Unserved, nargs=count, dest="unserved", **_QUIET)  # type: ignore[arg-type]
        return
    words = argparse.SUPPRESS if hidden else row.words.replace("%", "%%")
    if row.kind == "switch":
        group.add_argument(row.name, dest=field, action="store_true", default=argparse.SUPPRESS, help=words)
        return
    group.add_argument(
        row.name,
        dest=field,
        action="append" if row.kind == "repeated" else "store",
        nargs="+" if row.kind == "values" else None,
        metavar="|".join(row.choices) or row.value,
        default=argparse.SUPPRESS,
        help=words,
    )


_QUIET = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}


def _refuse(rows: Sequence[FlagRow], environ: Mapping[str, str]) -> None:
    refused = [row for row in rows if row.status in ("not yet", "never")]
    words = [
        f"{row.name} is {'not served yet' if row.status == 'not yet' else 'refused'}: {row.words}." for row in refused
    ]
    if environ.get(LENIENT):
        for line in words:
            print(line, file=sys.stderr)
    elif refused:
        raise NotServedYet("\n".join(words), field=refused[0].name)


def _unknown(word: str, names: Sequence[str]) -> UnknownChoice:
    if not word.startswith("-"):
        return UnknownChoice(f"'{word}' is one argument too many.", hint="Text of several words needs quotation marks.")
    name = word.partition("=")[0]
    near = difflib.get_close_matches(name, [*names], n=3, cutoff=0.7)
    hint = f"Did you mean {' or '.join(near)}?" if near else "--help lists what there is."
    return UnknownChoice(f"There is no {name}.", field=name, hint=hint)


def _words(error: ValidationError) -> InvalidField:
    """The first problem by its flag's name; the value is left out, since it may be a password."""
    problem = error.errors(include_url=False, include_input=False)[0]
    name = "--" + str(problem["loc"][0]).replace("_", "-")
    text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return InvalidField(f"{name} {text}.", field=name)
