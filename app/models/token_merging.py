"""Token merging: self-attention over fewer tokens, the most alike of them averaged (Bolya and Hoffman 2023).

Acts where a U-Net's attention is as large as its latent, which is where the time goes; SDXL has no attention there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

BLOCK = 2
"""Of each square of so many tokens a side one stays, and the others may be merged into any that stays."""


class Merge(NamedTuple):
    """Which tokens of each row are averaged into which.

    staying: [s], the tokens that are merged into. alone: [n, a], those of the others that keep to themselves.
    merged: [n, m], those that do not; into: [n, m], the place in `staying` of the one that each goes into.
    """

    staying: Tensor
    alone: Tensor
    merged: Tensor
    into: Tensor

    @classmethod
    def of(cls, tokens: Tensor, ratio: float, height: int, width: int) -> Merge:
        """tokens: [n, height * width, channels]. ratio: share of them to be merged away, at most those not staying."""
        count = tokens.shape[1]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        inside = (rows < height // BLOCK * BLOCK) & (columns < width // BLOCK * BLOCK)
        stays = (inside & (rows % BLOCK == 0) & (columns % BLOCK == 0)).flatten().to(tokens.device)
        staying, others = stays.nonzero()[:, 0], (~stays).nonzero()[:, 0]
        directions = tokens / tokens.norm(dim=-1, keepdim=True)
        likeness = directions[:, others] @ directions[:, staying].transpose(1, 2)
        best, into = likeness.max(dim=-1)
        order = best.argsort(dim=-1, descending=True)
        away = min(int(count * ratio), len(others))
        return cls(staying, others[order[:, away:]], others[order[:, :away]], into.gather(1, order[:, :away]))

    def shrunk(self, tokens: Tensor) -> Tensor:
        """[n, t, c] to [n, t - m, c]: those alone, then those that stay, each the mean of all that went into it."""
        staying = tokens[:, self.staying]
        into = _wide(self.into, tokens)
        staying = staying.scatter_reduce(1, into, _taken(tokens, self.merged), reduce="mean", include_self=True)
        return torch.cat([_taken(tokens, self.alone), staying], dim=1)

    def restored(self, tokens: Tensor) -> Tensor:
        """[n, t - m, c] to [n, t, c]: a merged token gets what became of the one it went into."""
        alone, staying = tokens.split([self.alone.shape[1], len(self.staying)], dim=1)
        count = tokens.shape[1] + self.merged.shape[1]
        whole = tokens.new_empty(tokens.shape[0], count, tokens.shape[2])
        whole[:, self.staying] = staying
        whole.scatter_(1, _wide(self.alone, tokens), alone)
        return whole.scatter_(1, _wide(self.merged, tokens), _taken(staying, self.into))


@contextmanager
def merged_tokens(unet: nn.Module, ratio: float, height: int, width: int) -> Iterator[None]:
    """Inside, the U-Net merges this share of its tokens; 0 changes nothing. height, width: of the latent in work.

    Which tokens are alike is told from what comes into a block; they are merged before its self-attention and given
    back after it.
    """
    hooks = [hook for block in _blocks(unet) for hook in _hooked(block, ratio, height, width)] if ratio else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _blocks(unet: nn.Module) -> Iterator[Any]:
    return (module for module in unet.modules() if hasattr(module, "attn1") and hasattr(module, "norm1"))


def _hooked(block: Any, ratio: float, height: int, width: int) -> Iterator[Any]:
    current: list[Merge] = []

    def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        current.clear()
        if inputs[0].shape[1] == height * width:
            current.append(Merge.of(inputs[0], ratio, height, width))

    def shrink(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (current[0].shrunk(inputs[0]), *inputs[1:]) if current else inputs

    def restore(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return current[0].restored(output) if current else output

    yield block.register_forward_pre_hook(look)
    yield block.attn1.register_forward_pre_hook(shrink)
    yield block.attn1.register_forward_hook(restore)


def _wide(places: Tensor, tokens: Tensor) -> Tensor:
    """Places of tokens as scatter and gather want them."""
    return places.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])


def _taken(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, _wide(places, tokens))
