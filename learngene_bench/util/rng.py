"""Random streams: a separate generator for each purpose, all derived from one integer seed.

Weights, data order, augmentation and drop path each have their own stream. A stream is named by its purpose and not by
the method, so the same seed gives every method the same batches, and differences between methods are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator


@dataclass(frozen=True)
class RngStreams:
    """The random streams of one seed.

    Attributes:
        rank: process that draws, where several train one model. The streams of rank 0 are those of a process alone.
        start: training step that the streams of other ranks begin at; see `for_rank`.
    """

    seed: int
    rank: int = 0
    start: int = 0

    def for_rank(self, rank: int, start: int = 0) -> RngStreams:
        """Returns streams that no other process draws from.

        Args:
            start: training step that a run begins or continues at. A checkpoint holds the generators of rank 0 only,
                so the others go on with new streams, which no earlier step has drawn from.
        """
        return replace(self, rank=rank, start=start if rank else 0)

    def seed_for(self, *names: str | int) -> int:
        """Returns a number below 2**63 that depends on the seed, the rank and every name."""
        suffix = (f"rank {self.rank} from step {self.start}",) if self.rank else ()
        text = "/".join(str(part) for part in (self.seed, *names, *suffix))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1

    def generator(self, *names: str | int, device: str = "cpu") -> Generator:
        """Returns a generator seeded by `seed_for(*names)`."""
        return torch.Generator(device).manual_seed(self.seed_for(*names))
