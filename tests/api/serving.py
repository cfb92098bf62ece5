"""A whole server but for the page, built as `launch` builds it, with a fake engine in place of the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app.access import Access
from app.api import (
    create_application,
    events_router,
    extension_installing_router,
    extensions_router,
    extras_router,
    jobs_router,
    lists_router,
    memory_router,
    models_router,
    networks_router,
    pictures_router,
    sdapi_extras_router,
    sdapi_router,
    server_folders_router,
)
from app.extension_host import BUILT_IN, ExtensionHost
from app.extras import Extras, ExtrasRecords
from app.files import Blobs, Folders, Images, ModelFile, ModelLibrary, Thumbnails
from app.hooks import Registry
from app.installing import Changes, Installer
from app.jobs import (
    AddHashes,
    Bus,
    DataFolderLock,
    Engine,
    Inflight,
    Jobs,
    PicturesBySettings,
    Resolver,
    Results,
    Store,
    Worker,
    Writer,
    recover,
)
from app.jobs.engine import BeforeGroup
from app.language import StyleBook
from app.schema.errors import UnsupportedModel
from app.schema.settings import Settings
from tests.files.making import SD1_TEXT, write_safetensors

# Named as SD1's, and small, so that hashing it takes no time.
SHAPES = {
    "model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 768),
    "first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3),
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (8, 768),
}
EXTENSIONS = Path(__file__).parents[2] / "extensions"
assert SD1_TEXT.keys() <= SHAPES.keys()


@dataclass(frozen=True)
class Server:
    """What a test may want to look into."""

    app: FastAPI
    jobs: Jobs
    folders: Folders
    settings: Settings
    library: ModelLibrary
    resolver: Resolver
    styles: StyleBook
    store: Store
    worker: Worker
    lock: DataFolderLock
    extras: Extras
    extensions: ExtensionHost
    installer: Installer

    def close(self) -> None:
        self.installer.stop()
        self.extras.close()
        self.worker.close()
        self.store.close()
        self.lock.release()


def formula_fit(network: ModelFile, checkpoint: ModelFile) -> dict[str, Any]:
    """What a checkpoint would use of a network, made up from the network's name."""
    if network.stem == "other":
        raise UnsupportedModel(f"{network.stem} was made for SDXL; {checkpoint.stem} is of the family SD1.")
    unmatched = ["lora_unet_<b>far</b>"] if network.stem == "half" else []
    return {"matched": 2 - len(unmatched), "total": 2, "parts": "layers", "unmatched": unmatched}


def build_server(
    folder: Path, make_engine: Callable[[BeforeGroup], Engine], access: Access | None = None, heartbeat: float = 15.0
) -> Server:
    folders = Folders.of(data_dir=folder, program_dir=folder / "program")
    folders.create()
    lock = DataFolderLock(folders.state)
    for name in ("formula", "other"):
        file = folders.checkpoints[0] / f"{name}.safetensors"
        if not file.exists():
            write_safetensors(file, SHAPES, metadata={"name": name})
    settings = Settings(folders.data / "config.json", folders.state / "settings")
    library = ModelLibrary(folders, folders.state / "library.sqlite3")
    bus = Bus()
    store = Store(folders.state / "jobs.sqlite3", bus.publish)
    inflight = Inflight(folders.state / "inflight")
    images = Images(folders)
    registry = Registry()
    host = ExtensionHost([EXTENSIONS], registry, settings.values().disabled_extensions)
    host.load()
    extensions = dict(registry.owners("register_controls"))
    pictures = PicturesBySettings(images, settings)
    blobs = Blobs(folders.state / "pictures")
    writer = Writer(store, pictures, add_hashes=AddHashes(library, store), models=extensions, keep=Results(blobs))
    worker = Worker(store, bus, writer, inflight, make_engine)
    styles = StyleBook([folders.data / "styles.csv"])
    resolver = Resolver(
        library,
        precision=lambda wanted: "fp32" if wanted == "auto" else wanted,
        default_checkpoint=lambda: settings.values().sd_model_checkpoint,
        styles=styles,
        require_picture=blobs.require,
        extensions=extensions,
        passes=dict(registry.owners("register_passes")),
        expanders=dict(registry.owners("register_expanders")),
    )
    jobs = Jobs(folders.data, store, bus, worker, resolver)
    recover(store, inflight, images.is_whole)
    worker.start()
    extras = Extras(jobs, library, blobs, folders, settings, ExtrasRecords(folders.state / "extras"))
    extras.start()
    rules = access or Access()
    installer = Installer(Changes(folders.data / "extensions", BUILT_IN))
    app = create_application(rules)
    app.include_router(extension_installing_router(installer, rules))
    app.include_router(jobs_router(jobs))
    app.include_router(events_router(jobs, heartbeat))
    app.include_router(models_router(library, jobs, Thumbnails(folders.state / "thumbnails"), formula_fit))
    app.include_router(memory_router(jobs, library))
    app.include_router(networks_router(jobs, library, resolver))
    app.include_router(sdapi_router(jobs, library, settings, resolver, blobs))
    app.include_router(pictures_router(blobs))
    app.include_router(server_folders_router(blobs))
    app.include_router(extras_router(extras))
    app.include_router(extensions_router(lambda: host.extensions, settings, resolver.extensions, installer.origin))
    app.include_router(sdapi_extras_router(extras))
    app.include_router(lists_router(library, styles, {}, lambda: {}))
    return Server(app, jobs, folders, settings, library, resolver, styles, store, worker, lock, extras, host, installer)
