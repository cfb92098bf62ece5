"""Networks that a prompt switches on: the three protocols that every kind of them follows."""

from app.networks.network import Hook, Network, Patch, Vocabulary

__all__ = ["Hook", "Network", "Patch", "Vocabulary"]
