"""The folders that a start with given flags uses."""

from __future__ import annotations

from app.files import Folders
from app.schema.flags import LaunchOptions


def folders_of(options: LaunchOptions) -> Folders:
    """The flags' folders over the conventional ones; touches no disk."""
    return Folders.of(
        data_dir=options.data_dir,
        models_dir=options.models_dir,
        ckpt_dir=options.ckpt_dir,
        vae_dir=options.vae_dir,
        lora_dir=options.lora_dir,
        embeddings_dir=options.embeddings_dir,
        hypernetwork_dir=options.hypernetwork_dir,
        gfpgan_dir=options.gfpgan_models_path,
    )
