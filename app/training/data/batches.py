"""Batches: which samples each step sees. Every sample is shown as often as its repeats say in every epoch.

A pure function of seed and step: a resumed run needs no position. Knows numbers of samples and their buckets only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from app.training.randomness import numpy_generator


class Batch(NamedTuple):
    """epoch: from 0. samples: numbers of the samples, all of one bucket; `shown` numbers each showing within the
    epoch, so that repeats of one picture are drawn differently."""

    epoch: int
    samples: tuple[int, ...]
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Deal:
    """buckets: of each sample, anything hashable. repeats: of each. size: of a batch; a bucket's last is smaller."""

    buckets: Sequence[Hashable]
    repeats: Sequence[int]
    size: int
    seed: int

    @cached_property
    def _groups(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """(sample, showing) of each bucket."""
        groups: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)
        for sample, (bucket, repeats) in enumerate(zip(self.buckets, self.repeats, strict=True)):
            groups[bucket] += [(sample, showing) for showing in range(repeats)]
        return tuple(tuple(group) for group in groups.values())

    @cached_property
    def steps_per_epoch(self) -> int:
        """Batches that show everything once."""
        return sum(-(-len(group) // self.size) for group in self._groups)

    @property
    def shown_per_epoch(self) -> int:
        """Pictures shown in an epoch, repeats counted."""
        return sum(self.repeats)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[place]

    @cached_property
    def _epoch(self) -> Callable[[int], tuple[Batch, ...]]:
        """`_dealt` with the last epochs kept, a cache of this object's own."""
        return lru_cache(maxsize=2)(self._dealt)

    def _dealt(self, epoch: int) -> tuple[Batch, ...]:
        draws = numpy_generator(self.seed, "deal", epoch)
        batches = []
        for group in self._groups:
            order = [group[place] for place in draws.permutation(len(group))]
            for first in range(0, len(order), self.size):
                dealt = order[first : first + self.size]
                batches.append(Batch(epoch, tuple(one[0] for one in dealt), tuple(one[1] for one in dealt)))
        return tuple(batches[place] for place in draws.permutation(len(batches)))
