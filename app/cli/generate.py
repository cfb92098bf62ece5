"""The command `generate`: a prompt becomes picture files; its options are the controls of a request."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.folders import folders_of
from app.cli.workshop import ServerJobs, Workshop, open_workshop
from app.schema.choices import BUILT_IN, EMPHASIS_MODES, NOISE_SOURCES, PRECISIONS, Choices
from app.schema.control import Control, controls_of
from app.schema.errors import CannotWrite, EaselError, InvalidField
from app.schema.events import Failed, Finished, ImageReady, Notice, Progress
from app.schema.request import GenerationRequest, parse_request

CONTROLS = controls_of(GenerationRequest)
HEARD_BY_A_SERVER = frozenset({"data_dir", "gradio_auth", "gradio_auth_path", "api_auth"})
OWN = frozenset({*CONTROLS, "output"})


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """Make the pictures, write them to --output, and print where they are."""
    # Only help lists the names, and reading extensions takes time.
    asks_help = bool({"-h", "--help"} & set(arguments))
    start = launch_options(environ, argparse.Namespace(), OWN)
    parser = request_parser(factories.choices(start) if asks_help else BUILT_IN)
    typed = read(parser, arguments, environ)
    options = launch_options(environ, typed, OWN)
    first = factories.first_request(options, getattr(typed, "checkpoint", ""))
    request = requested(typed, first)
    targets = output_paths(typed.output, request.image_count) if typed.output else []
    folders = folders_of(options)
    with open_workshop(options, folders, factories) as workshop:
        if isinstance(workshop, ServerJobs) and (idle := set(vars(typed)) - OWN - HEARD_BY_A_SERVER):
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(idle))
            print(f"Drawn by the running server, where {flags} of this command has no effect.", file=sys.stderr)
        images = follow(workshop, workshop.submit(request), request)
        made = [workshop.path(image) for image in images]
    for source, target in zip(made, targets, strict=False):
        copy(source, target)
    for path in targets[: len(made)] or made:
        print(path)
    return 0 if len(made) == request.image_count else 1


def request_parser(choices: Choices = BUILT_IN) -> Parser:
    """One option for each control of a request, named and explained as the page does. choices: what help lists."""
    names = {
        "samplers": tuple(sampler.name for sampler in choices.samplers),
        "schedules": tuple(schedule.label for schedule in choices.schedules),
        "emphasis": EMPHASIS_MODES,
        "noise_sources": NOISE_SOURCES,
        "precisions": ("auto", *PRECISIONS),
    }
    parser = Parser(prog="webui.py generate", description="Make pictures of a prompt without the page.")
    parser.add_argument("prompt", help="what is to be seen")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.png", help="where the picture goes as well")
    for name, control in CONTROLS.items():
        if name != "prompt":
            _add(parser, name, control, names)
    add_flags(parser, hidden=True)
    return parser


def requested(typed: argparse.Namespace, first: GenerationRequest) -> GenerationRequest:
    """The request that was typed, over `first` where nothing was. Raises InvalidField naming the option."""
    said = {name: value for name, value in vars(typed).items() if name in CONTROLS}
    try:
        return parse_request(first.model_dump() | said)
    except InvalidField as error:
        option = f"--{(error.field or '').replace('_', '-')}"
        if error.field in said and error.field != "prompt":
            raise type(error)(
                error.message.replace(error.field, option, 1), field=error.field, hint=error.hint
            ) from None
        raise


def follow(workshop: Workshop, job: str, request: GenerationRequest) -> list[ImageReady]:
    """Watch a job to its end with a progress bar; Ctrl+C drops what is left of it. Raises what made it fail."""
    images: list[ImageReady] = []
    with tqdm(total=request.image_count * request.steps, unit="step", dynamic_ncols=True) as bar:
        try:
            for event in workshop.events(job):
                if isinstance(event, Progress):
                    bar.set_description_str(event.phase, refresh=False)
                    bar.update(max(0, round(event.progress * bar.total) - bar.n))
                elif isinstance(event, Notice):
                    bar.write(event.text, file=bar.fp)
                elif isinstance(event, ImageReady):
                    images.append(event)
                elif isinstance(event, Failed):
                    raise EaselError(event.message, field=event.field)
                elif isinstance(event, Finished) and event.state == "done":
                    bar.update(bar.total - bar.n)
        except KeyboardInterrupt:
            workshop.cancel(job)
            raise
    return images


def output_paths(output: Path, count: int) -> list[Path]:
    """One path for each picture: the one given, or numbered ones. Raises before anything is drawn in vain."""
    output = output.expanduser().absolute()
    if output.suffix.lower() != ".png":
        raise InvalidField(
            f"--output {output.name}: pictures are written as PNG.", field="output", hint="End it in .png."
        )
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise CannotWrite(f"The folder {output.parent} is not there or may not be written.", field="output")
    if count == 1:
        return [output]
    return [output.with_stem(f"{output.stem}-{number}") for number in range(1, count + 1)]


def copy(source: Path, target: Path) -> None:
    """A copy with the picture's text kept; never half of one under its name. Raises CannotWrite."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, aside)
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise CannotWrite(
            f"{target} could not be written: {error.strerror or error}.",
            field="output",
            hint=f"The picture is {source}.",
        ) from error


def _add(parser: argparse.ArgumentParser, name: str, control: Control, choices: Mapping[str, Sequence[str]]) -> None:
    annotation = GenerationRequest.model_fields[name].annotation
    options: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": _help(control, choices)}
    if annotation is bool:
        options["action"] = argparse.BooleanOptionalAction
    elif annotation == tuple[str, ...]:
        options |= {"action": "append", "metavar": "NAME"}
    else:
        options["metavar"] = "N" if annotation in (int, float) else "VALUE"
    parser.add_argument(f"--{name.replace('_', '-')}", **options)


def _help(control: Control, choices: Mapping[str, Sequence[str]]) -> str:
    words = f"{control.label}: {control.help}" if control.help else control.label
    if names := choices.get(control.choices or ""):
        words += f" [{', '.join(names)}]"
    if control.minimum is not None and control.maximum is not None:
        words += f" [{control.minimum:g} to {control.maximum:g} on the page]"
    return words.replace("%", "%%")
