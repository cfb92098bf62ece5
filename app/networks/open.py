"""Open: a network's file -> the network, by the word that its prompt tag or folder says.

Checks that the file is the one that was asked for, and that it was made for the model's family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from app.files import Identity
from app.hooks import NetworkKind
from app.models.checkpoint_file import open_weights
from app.models.families import SDXL, SDXL_REFINER
from app.models.model import LoadedModel
from app.networks.hypernetwork import Hypernetwork
from app.networks.keys import Layers, layers_of
from app.networks.network import Hook, Patch, Vocabulary, Wanted
from app.networks.numbers import Scratch
from app.networks.patch import FilePatch
from app.networks.textual_inversion import Embedding, bundled, read_vectors
from app.schema.errors import ModelChanged, ModelNotFound, UnsupportedModel

LORA_KIND, HYPERNET_KIND, EMBEDDING_KIND = "lora", "hypernet", "embedding"
Tokenise = Callable[[str], Sequence[int]]
Networks = tuple[Patch | Hook | Vocabulary, ...]
NO_KINDS: Mapping[str, NetworkKind] = MappingProxyType({})


def open_network(
    wanted: Wanted,
    tokenise: Tokenise,
    layers: Callable[[LoadedModel], Layers] = layers_of,
    kinds: Mapping[str, NetworkKind] = NO_KINDS,
    scratch: Scratch | None = None,
) -> Networks:
    """The network of a file, and the embeddings bundled with it.

    tokenise: token ids of an embedding's name. layers, scratch: as of `FilePatch`. kinds: of extensions. Raises
    ModelNotFound, ModelChanged when the file is not the one that was asked for, and what its reader raises.
    """
    path = Path(wanted.path)
    try:
        now = Identity.of(path)
    except OSError as error:
        raise ModelNotFound(
            f"The file {path.name} is gone ({error.strerror}).", field="prompt", hint="Refresh the list."
        ) from error
    if (now.size, now.mtime_ns) != (wanted.size, wanted.mtime_ns):
        raise ModelChanged(
            f"The file {path.name} was replaced after the job was submitted.",
            field="prompt",
            hint="Submit the job again to draw with the new file.",
        )
    if wanted.kind == EMBEDDING_KIND:
        return (Embedding(wanted.name, tokenise(wanted.name), read_vectors(path), now),)
    if wanted.kind == HYPERNET_KIND:
        return (Hypernetwork(path, wanted.name),)
    if wanted.kind in kinds and wanted.kind != LORA_KIND:
        return (kinds[wanted.kind].open(path, wanted.name),)
    file = open_weights(path)
    words = (Embedding(name, tokenise(name), vectors, now) for name, vectors in bundled(file).items())
    return (FilePatch(file, wanted.name, layers, scratch), *words)


def require_family(name: str, family: str, model: LoadedModel) -> None:
    """Raises UnsupportedModel when a network was made for another family than the model's."""
    fitting = (model.family.name, SDXL.name) if model.family.name == SDXL_REFINER.name else (model.family.name,)
    if family and family not in fitting:
        raise UnsupportedModel(
            f"{name} was made for {family}; the checkpoint is of the family {model.family.name}.",
            field="prompt",
            hint="Choose a checkpoint of its family, or take it out of the prompt.",
        )
