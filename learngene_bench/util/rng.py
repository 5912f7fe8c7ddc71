"""Random streams: a separate generator for each purpose, all derived from one integer seed.

Weights, data order, augmentation and drop path each have their own stream. A stream is named by its purpose and not by
the method, so the same seed gives every method the same batches, and differences between methods are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator


@dataclass(frozen=True)
class RngStreams:
    """The random streams of one seed."""

    seed: int

    def seed_for(self, *names: str | int) -> int:
        """Derives the seed of one stream: an integer below 2**63 that depends on the seed and on every name."""
        text = "/".join(str(part) for part in (self.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1

    def generator(self, *names: str | int, device: str = "cpu") -> Generator:
        """Creates a generator that is seeded with `seed_for(*names)`."""
        return torch.Generator(device).manual_seed(self.seed_for(*names))
