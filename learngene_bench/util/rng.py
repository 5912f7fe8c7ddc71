"""Random streams: one integer seed, and a separate generator for everything that is drawn.

Weights, data order, augmentation and drop path each have their own stream, named by purpose and not by method, so that
the same seed gives every method the same batches and differences between methods are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator


@dataclass(frozen=True)
class Streams:
    """The random streams of one seed."""

    seed: int

    def number(self, *names: str | int) -> int:
        """A number below 2**63 that depends on the seed and on every name."""
        text = "/".join(str(part) for part in (self.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1

    def generator(self, *names: str | int, device: str = "cpu") -> Generator:
        """A generator seeded by `number(*names)`."""
        return torch.Generator(device).manual_seed(self.number(*names))
