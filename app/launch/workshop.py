"""Workshop: everything that makes pictures without a front end, built in reading order and closed in the end."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from app.cli.folders import folders_of
from app.extension_host import BUILT_IN, ExtensionHost
from app.extras import Extras, ExtrasRecords
from app.files import VAE_APPROXIMATION, Blobs, Downloads, Folders, Images, ModelLibrary, Steps, recommended
from app.guard import Guard
from app.hooks import Registry
from app.installing import Changes, Installer
from app.jobs import (
    AddHashes,
    Bus,
    DataFolderLock,
    DeviceLease,
    Expander,
    HashAhead,
    Inflight,
    Jobs,
    PicturesBySettings,
    Resolver,
    Results,
    Store,
    Trainings,
    Worker,
    Writer,
    recover,
)
from app.language import StyleBook
from app.launch.engine import Precision, make_engine
from app.launch.extensions import network_kinds_of, passes_of
from app.launch.training import DeviceSharing, make_trainings
from app.schema.choices import BUILT_IN as BUILT_IN_CHOICES
from app.schema.flags import LaunchOptions
from app.schema.request import GenerationRequest
from app.schema.settings import Settings, SettingValues


@dataclass(frozen=True)
class Workshop:
    """Everything that makes pictures, without a front end."""

    folders: Folders
    lock: DataFolderLock
    settings: Settings
    library: ModelLibrary
    registry: Registry
    resolver: Resolver
    styles: StyleBook
    worker: Worker
    jobs: Jobs
    trainings: Trainings
    blobs: Blobs
    downloads: Downloads
    extras: Extras
    extensions: ExtensionHost
    installer: Installer


@contextmanager
def open_workshop(options: LaunchOptions) -> Iterator[Workshop]:
    """Builds the workshop, puts in order what a killed process left behind, and closes it in the end.

    Raises DataFolderInUse, CannotWrite.
    """
    folders = folders_of(options)
    folders.create()
    with ExitStack() as closing:
        lock = DataFolderLock(folders.state)
        closing.callback(lock.release)
        log_file = closing.enter_context(logging_to(folders, options.loglevel or "INFO"))
        settings = settings_of(folders)
        library = ModelLibrary(folders, folders.state / "library.sqlite")
        closing.callback(library.close)
        changes = Changes(folders.data / "extensions", BUILT_IN)
        changes.apply()
        installer = Installer(changes)
        closing.callback(installer.stop)
        extensions, registry = extensions_of(folders, settings)
        extensions.load()
        images = Images(folders)
        bus = Bus()
        store = Store(folders.state / "jobs.sqlite", bus.publish)
        closing.callback(store.close)
        inflight = Inflight(folders.state / "inflight.bin")
        recover(store, inflight, images.is_whole, log_file)
        blobs = Blobs(folders.state / "pictures")
        steps = Steps(folders.state / "steps")
        steps.forget_all_but({entry.id for entry in store.queue()})
        records = ExtrasRecords(folders.state / "extras")
        blobs.collect(store.hashes() | records.hashes())
        writer = Writer(
            store,
            PicturesBySettings(images, settings),
            add_hashes=AddHashes(library, store) if not options.no_hashing else lambda job: job,
            extra_entries=registry.image_saving,
            job_ended=functools.partial(job_ended, steps, registry),
            models=dict(registry.owners("register_controls")),
            keep=Results(blobs),
        )
        lease = DeviceLease(DeviceSharing(options))
        decoders = functools.partial(preview_decoders, settings, library)
        make = functools.partial(make_engine, options, extensions, blobs, preview_decoders=decoders, steps=steps)
        worker = Worker(store, bus, writer, inflight, make, lease=lease)
        styles = styles_of(options, folders)
        resolver = resolver_of(options, library, settings, styles, blobs.require, registry)
        jobs = Jobs(
            folders.data,
            store,
            bus,
            worker,
            resolver,
            submitted=HashAhead(library) if not options.no_hashing else lambda resolved: None,
        )
        trainings, close_trainings = make_trainings(options, folders, library, resolver, bus, worker, lease, registry)
        closing.callback(close_trainings)
        worker.start()  # only now, since a training that still runs has the device
        closing.callback(worker.close)
        extras = Extras(jobs, library, blobs, folders, settings, records, registry.choices())
        extras.start()
        closing.callback(extras.close)
        downloads = Downloads(folders, library)
        closing.callback(downloads.close)
        yield Workshop(
            folders=folders,
            lock=lock,
            settings=settings,
            library=library,
            registry=registry,
            resolver=resolver,
            styles=styles,
            worker=worker,
            jobs=jobs,
            trainings=trainings,
            blobs=blobs,
            downloads=downloads,
            extras=extras,
            extensions=extensions,
            installer=installer,
        )


def job_ended(steps: Steps, registry: Registry, job: str) -> None:
    """What is done for every job that is over."""
    steps.forget(job)
    registry.job_finished(job)


def starting_request(resolver: Resolver, checkpoint: str = "") -> GenerationRequest:
    """What a fresh form holds: neutral values under what the checkpoint ("": the one to be chosen) asks for."""
    file = resolver.checkpoint(checkpoint)
    return GenerationRequest(checkpoint=checkpoint, **recommended(file))


def preview_decoders(settings: Settings, library: ModelLibrary) -> list[Path]:
    """The decoders for live previews, where the site wants its previews decoded."""
    if settings.values().show_progress_type != "TAESD":
        return []
    return [file.path for file in library.list(VAE_APPROXIMATION) if file.problem is None]


def extensions_of(folders: Folders, settings: Settings) -> tuple[ExtensionHost, Registry]:
    """The extensions of program and data folder, not loaded yet, and the registry of their answers."""
    registry = Registry(guard=Guard(trusted=BUILT_IN))
    places = dict.fromkeys((folders.program / "extensions", folders.data / "extensions"))
    return ExtensionHost(places, registry, disabled_extensions(places, settings.values())), registry


def disabled_extensions(places: Iterable[Path], values: SettingValues) -> set[str]:
    """Names of those that the site's settings leave out."""
    if values.disable_all_extensions == "none":
        return set(values.disabled_extensions)
    there = {folder.name for place in places for folder in place.glob("*")}
    kept = set(BUILT_IN) if values.disable_all_extensions == "extra" else set()
    return there - kept | set(values.disabled_extensions)


def settings_of(folders: Folders) -> Settings:
    return Settings(folders.data / "config.json", folders.state / "users")


def styles_of(options: LaunchOptions, folders: Folders) -> StyleBook:
    return StyleBook(options.styles_file or [folders.data / "styles.csv"])


def resolver_of(
    options: LaunchOptions,
    library: ModelLibrary,
    settings: Settings,
    styles: StyleBook,
    require_picture: Callable[[str, str], None] = lambda digest, field: None,
    registry: Registry | None = None,
) -> Resolver:
    return Resolver(
        library,
        precision=Precision(options),
        default_checkpoint=lambda: settings.values().sd_model_checkpoint,
        styles=styles,
        require_picture=require_picture,
        extensions=dict(registry.owners("register_controls")) if registry else {},
        passes=passes_of(registry) if registry else {},
        expanders=expanders_of(registry) if registry else {},
        network_kinds=network_kinds_of(registry) if registry else {},
        choices=registry.choices() if registry else BUILT_IN_CHOICES,
    )


def expanders_of(registry: Registry) -> dict[str, Expander]:
    """By extension, how each expands a request; one that raises or hangs is marked, and the request is refused."""

    def guarded(owner: str, expand: Expander) -> Expander:
        return lambda request: registry.guard.run(owner, "the expander", functools.partial(expand, request))

    return {owner: guarded(owner, expand) for owner, expand in registry.owners("register_expanders")}


@contextmanager
def logging_to(folders: Folders, level: str) -> Iterator[Path]:
    """Warnings go to the terminal, all of the level to the data folder's log file, whose path it gives."""
    path = folders.state / "easel.log"
    to_file = RotatingFileHandler(path, maxBytes=2_000_000, backupCount=3, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(max(logging.WARNING, logging.getLevelName(level)) if level != "DEBUG" else logging.DEBUG)
    to_terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    for handler in (to_file, to_terminal):
        root.addHandler(handler)
    try:
        yield path
    finally:
        root.setLevel(before)
        for handler in (to_file, to_terminal):
            root.removeHandler(handler)
            handler.close()
