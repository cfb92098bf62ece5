"""Networks that a prompt switches on: LoRA and LyCORIS, hypernetworks, embeddings; read, applied, taken off."""

from app.networks.fitting import Fitting
from app.networks.hypernetwork import Hypernetwork, network_layers
from app.networks.network import Hook, Network, Patch, Report, Vocabulary, Wanted
from app.networks.network_set import NetworkSet
from app.networks.open import open_network, require_family
from app.networks.patch import FilePatch
from app.networks.side_path import attach_side_path
from app.networks.textual_inversion import Embedding, read_vectors

__all__ = [
    "Embedding",
    "FilePatch",
    "Fitting",
    "Hook",
    "Hypernetwork",
    "Network",
    "NetworkSet",
    "Patch",
    "Report",
    "Vocabulary",
    "Wanted",
    "attach_side_path",
    "network_layers",
    "open_network",
    "read_vectors",
    "require_family",
]
