"""Which images of a batch a process works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Part:
    """One process's images of every batch.

    Random numbers are drawn for the whole batch by every process, which then takes those of its own images: so the
    numbers, and the state of the generators, do not depend on how many processes there are.

    Attributes:
        drawn: images in the batch, each with its random numbers.
        used: as many of them, from the first on, are trained on.
        ranges: first and end of each run of own images, ascending, below `used`.
        share: own images over all that are used.
    """

    drawn: int
    used: int
    ranges: tuple[tuple[int, int], ...]
    share: float = 1.0

    @staticmethod
    def whole(drawn: int, used: int | None = None) -> Part:
        """All of a batch, or its first `used` images."""
        used = drawn if used is None else used
        return Part(drawn, used, ((0, used),))

    @staticmethod
    def of(drawn: int, used: int, rank: int, size: int) -> Part:
        """The part of process `rank` among `size`: image i always together with image used - 1 - i.

        Mixup and cutmix mix these two. In the part, as in the whole, the partner of an image is its mirror image, so
        that what mixes a batch with its own reverse can mix the part alone.

        Raises:
            UserError: there are fewer pairs than processes.
        """
        if size == 1:
            return Part.whole(drawn, used)
        pairs = used // 2
        if pairs < size:
            raise UserError(
                f"a batch of {used} images is too small for {size} processes: each takes pairs of images, "
                f"so at most {pairs} processes"
            )
        first, end = rank * pairs // size, (rank + 1) * pairs // size
        middle = ((pairs, pairs + 1),) if used % 2 and rank == 0 else ()
        ranges = ((first, end), *middle, (used - end, used - first))
        return Part(drawn, used, ranges, sum(end - first for first, end in ranges) / used)

    def select(self, values: Tensor, dim: int = 0) -> Tensor:
        """Of one value for each image along `dim`, those of the own images."""
        runs = [values.narrow(dim, first, end - first) for first, end in self.ranges]
        return runs[0] if len(runs) == 1 else torch.cat(runs, dim)
