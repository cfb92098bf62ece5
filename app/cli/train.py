"""The command `train`: a training by a running server or by this process; the same command goes on with it.

Ctrl+C pauses at the next step, with a snapshot. What trains is a process of its own, which outlives this one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, get_args, get_origin

from tqdm import tqdm

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.folders import folders_of
from app.cli.workshop import OWNER, ServerJobs, login_of
from app.files import Folders
from app.files.training_toml import read_training_toml
from app.jobs import Trainings, read_holder
from app.schema.control import controls_of
from app.schema.errors import DataFolderInUse, EaselError, TrainingProblem
from app.schema.events import Event, Failed, Finished, Notice, TrainingMade, TrainingProgress
from app.schema.flags import LaunchOptions
from app.schema.training import ACTIVATIONS, Method, TrainingRequest, parse_training
from app.schema.training_presets import preset

CONTROLS = controls_of(TrainingRequest)
OWN = frozenset({*CONTROLS, "run", "usual"})
STOPPED = 130
_LISTS = ("widths", "layer_structure", "dropout_structure")
_PATHS = ("data", "class_data", "template")
RESTING = ("paused", "done", "failed", "cancelled")


class Trains(Protocol):
    """What `train` asks of a server or of this process."""

    def submit(self, request: TrainingRequest) -> str:
        """Begins a training, or goes on with the unfinished or failed one of the same request; its id."""
        ...

    def events(self, id: str) -> Iterator[Event]:
        """What happens to it, to its end."""
        ...

    def pause(self, id: str) -> None:
        """At its next step."""
        ...

    def state(self, id: str) -> str:
        """Its state now."""
        ...


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """Train, show how it goes, and print the file that came out."""
    parser = request_parser()
    typed = read(parser, arguments, environ)
    options = launch_options(environ, typed, OWN)
    request = parse_training(asked(typed))
    with open_trains(options, folders_of(options), factories) as trains:
        id = trains.submit(request)
        try:
            return follow(trains.events(id), request)
        except KeyboardInterrupt:
            return rest(trains, id, request)


def request_parser() -> Parser:
    """One option for each control of a training."""
    parser = Parser(
        prog="webui.py train",
        description="Train a LoRA, an embedding, a hypernetwork or a checkpoint without the page. Ctrl+C pauses at the "
        "next step; the same command goes on.",
    )
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN.toml", help="fields by name, or kohya's keys")
    parser.add_argument("--usual", metavar="FAMILY", help="begin from the usual values: SD1, SD2, SDXL or starter")
    for name, control in CONTROLS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **_option(name, control.label, control.help))
    add_flags(parser, hidden=True)
    return parser


def asked(typed: argparse.Namespace) -> dict[str, Any]:
    """The fields of the TOML with those typed over them.

    Raises TrainingProblem for a file that cannot be read.
    """
    fields = from_toml(typed.run) if typed.run is not None else {}
    said = {name: value for name, value in vars(typed).items() if name in CONTROLS}
    for name in _LISTS:
        if name in said:
            said[name] = _numbers(name, str(said[name]))
    for name in _PATHS:
        if said.get(name):
            said[name] = str(Path(said[name]).expanduser().absolute())
    if "steps" in said:
        said.setdefault("epochs", 0)
    usual = (
        preset(said.get("method", fields.get("method", "lora")), typed.usual) if getattr(typed, "usual", None) else {}
    )
    return {**usual, **fields, **said}


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        problem = f"'{text[:40]}' is no list of numbers."
        raise TrainingProblem(problem, field=name, hint="Write it like 1, 2, 1.") from None


def from_toml(path: Path) -> dict[str, Any]:
    """Fields, also from kohya's keys. Relative paths are meant from the file's folder."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TrainingProblem(f"{path} cannot be read: {error.strerror}.", field="run") from error
    except UnicodeDecodeError as error:
        raise TrainingProblem(f"{path.name} is no TOML: {error}.", field="run") from error
    imported = read_training_toml(text, path.parent)
    if imported.left_out:
        print(f"Left out, as nothing here does it: {'; '.join(imported.left_out)}.", file=sys.stderr)
    return imported.fields


def follow(events: Iterator[Event], request: TrainingRequest) -> int:
    """Shows a training to its end; the exit status. Raises what made it fail."""
    made = ""
    with tqdm(total=request.steps, unit="step", dynamic_ncols=True) as bar:
        for event in events:
            if isinstance(event, TrainingProgress):
                bar.total = event.steps
                bar.set_description_str(event.phase, refresh=False)
                if event.loss is not None:
                    bar.set_postfix_str(f"loss {event.loss:.4g}", refresh=False)
                bar.update(event.step - bar.n)
                if event.state == "paused":
                    bar.write("It was paused; the same command goes on.", file=sys.stderr)
                    return STOPPED
            elif isinstance(event, Notice):
                bar.write(event.text, file=sys.stderr)
            elif isinstance(event, TrainingMade):
                made = event.path
            elif isinstance(event, Failed):
                hint = "The same command goes on"
                hint += ", also with another --learning-rate." if event.field == "learning_rate" else "."
                raise EaselError(event.message, field=event.field, hint=hint)
            elif isinstance(event, Finished):
                break
    if made:
        print(made)
    return 0 if made else 1


def rest(trains: Trains, id: str, request: TrainingRequest) -> int:
    """After Ctrl+C: pauses, and waits until that is so; a second Ctrl+C waits no more.

    One that ended first is shown to its end. Returns the exit status.
    """
    print("Pausing at the next step ...", file=sys.stderr)
    trains.pause(id)
    while (state := trains.state(id)) not in RESTING:
        time.sleep(0.1)
    if state != "paused":
        return follow(trains.events(id), request)
    print("Paused; the same command goes on.", file=sys.stderr)
    return STOPPED


@contextmanager
def open_trains(options: LaunchOptions, folders: Folders, factories: Factories) -> Iterator[Trains]:
    """The server that holds the data folder, or this process's own trainings. Raises DataFolderInUse."""
    holder = read_holder(folders.state)
    if holder is None:
        with factories.trainings(options) as trainings:
            yield OwnTrainings(trainings)
    elif holder.address:
        yield ServerTrainings(ServerJobs(holder.address, folders, login_of(options)))
    else:
        raise DataFolderInUse(
            f"Another Easel (process {holder.pid}) works with the data folder {folders.data} and serves no page yet.",
            hint="Wait until it has started or ended, or give another --data-dir.",
        )


class OwnTrainings:
    """Trainings of this process."""

    def __init__(self, trainings: Trainings) -> None:
        self._trainings = trainings

    def submit(self, request: TrainingRequest) -> str:
        return self._trainings.submit_or_resume(request, OWNER).id

    def events(self, id: str) -> Iterator[Event]:
        with self._trainings.watch(id) as watch:
            while not watch.over:
                for told in watch.take(1.0):
                    yield told.event

    def pause(self, id: str) -> None:
        self._trainings.ask(id, "pause")

    def state(self, id: str) -> str:
        return self._trainings.get(id).state


class ServerTrainings:
    """Trainings of a running server of this machine, over HTTP."""

    def __init__(self, server: ServerJobs) -> None:
        self._server = server

    def submit(self, request: TrainingRequest) -> str:
        return str(self._server.ask("POST", "/api/training?resume=true", _body(request))["id"])

    def events(self, id: str) -> Iterator[Event]:
        return self._server.told(f"/api/training/{id}/events", f"Training {id}")

    def pause(self, id: str) -> None:
        self._server.ask("POST", f"/api/training/{id}/pause")

    def state(self, id: str) -> str:
        return str(self._server.ask("GET", f"/api/training/{id}")["state"])


def _body(request: TrainingRequest) -> bytes:
    return request.model_dump_json().encode()


def _option(name: str, label: str, help: str) -> dict[str, Any]:
    annotation = TrainingRequest.model_fields[name].annotation
    words = f"{label}: {help}" if help else label
    if usual := {"method": get_args(Method), "activation": ACTIVATIONS}.get(name):
        words += f" [{', '.join(usual)}, or another]"
    words = words.replace("%", "%%")
    option: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": words}
    if annotation is bool:
        return option | {"action": argparse.BooleanOptionalAction}
    if get_origin(annotation) is not None and get_args(annotation) and isinstance(get_args(annotation)[0], str):
        return option | {"choices": get_args(annotation)}
    return option | {"metavar": "N" if annotation in (int, float) else "VALUE"}
