"""The rows of a batch that one process trains on."""

from __future__ import annotations

from dataclasses import dataclass

from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One process's consecutive rows of a batch that all processes share out.

    Attributes:
        batch_size: images in the whole batch.
        first: the first row of this process.
        end: the row after its last one.
        fraction: images that this process trains on, as a part of those that all processes train on. Losses are
            weighted by it, so that a batch which cannot be shared out evenly is still averaged over its images.
    """

    batch_size: int
    first: int
    end: int
    fraction: float

    @staticmethod
    def of(batch_size: int, rank: int = 0, size: int = 1, multiple: int = 1) -> Shard:
        """Returns the shard of process `rank` among `size`.

        Args:
            multiple: number that each process's images are a multiple of. The remainder, if any, goes to the last
                process, which augments it but does not train on it: mixup takes pairs.

        Raises:
            UserError: the batch has too few images for so many processes.
        """
        units = batch_size // multiple
        if size == 1:
            return Shard(batch_size, 0, batch_size, 1.0)
        if units < size:
            pairs = " in pairs" if multiple == 2 else ""
            raise UserError(
                f"a batch of {batch_size} images cannot be shared out{pairs} among {size} processes: at most {units}"
            )
        first, end = (multiple * (number * units // size) for number in (rank, rank + 1))
        fraction = (end - first) / (multiple * units)
        return Shard(batch_size, first, batch_size if rank == size - 1 else end, fraction)
