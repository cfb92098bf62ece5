"""Networks that a prompt switches on; today the three protocols, the kinds themselves come with their own issue."""

from app.networks.network import Hook, Network, Patch, Vocabulary

__all__ = ["Hook", "Network", "Patch", "Vocabulary"]
