"""Random streams: a separate generator for each purpose, all derived from one integer seed.

Weights, data order, augmentation and drop path each have their own stream. A stream is named by its purpose and not by
the method, so the same seed gives every method the same batches, and differences between methods are paired. What is
drawn for a model is also named by the model's role and identity (`drawn_for`): so the layers that a method leaves to
the base initialization are no ancestor's starting numbers. docs/reproducibility.md lists all streams.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator

Role = Literal["target", "ancestor", "auxiliary"]
"""The role of a model that is drawn: it is initialized and measured; it is trained, and knowledge is taken from it; or
a method's `prepare` makes its gene by it."""


def seed_globally(seed: int, device: torch.device | None = None) -> None:
    """Seeds torch's global generator of the CPU, and that of one GPU if it is given.

    `torch.manual_seed` also seeds those of all other GPUs, which whoever calls the suite may draw from.
    """
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        torch.cuda.set_rng_state(torch.Generator(device).manual_seed(seed).get_state(), device)


@dataclass(frozen=True)
class RngStreams:
    """The random streams of one seed.

    Attributes:
        subject: role and identity of the model that is drawn; empty where streams belong to no model.
        rank: process that draws, where several train one model. The streams of rank 0 are those of a process alone.
        start: training step that the streams of other ranks begin at; see `for_rank`.
    """

    seed: int
    subject: tuple[str, ...] = ()
    rank: int = 0
    start: int = 0

    def drawn_for(self, role: Role, identity: str) -> RngStreams:
        """Returns the streams of one model: independent of those of another role or another identity.

        Args:
            identity: everything that decides the model's parameter shapes, see `ModelSpec.identity`.
        """
        return replace(self, subject=(role, identity))

    def for_rank(self, rank: int, start: int = 0) -> RngStreams:
        """Returns streams that no other process draws from.

        Args:
            start: training step that a run begins or continues at. A checkpoint holds the generators of rank 0 only,
                so the others go on with new streams, which no earlier step has drawn from.
        """
        return replace(self, rank=rank, start=start if rank else 0)

    def seed_for(self, *names: str | int) -> int:
        """Returns a number below 2**63 that depends on the seed, the subject, the rank and every name."""
        suffix = (f"rank {self.rank} from step {self.start}",) if self.rank else ()
        text = "/".join(str(part) for part in (self.seed, *self.subject, *names, *suffix))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1

    def generator(self, *names: str | int, device: str = "cpu") -> Generator:
        """Returns a generator seeded by `seed_for(*names)`."""
        return torch.Generator(device).manual_seed(self.seed_for(*names))
