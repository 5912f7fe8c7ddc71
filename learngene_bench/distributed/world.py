"""The processes that compute stages together, as one of them sees them: usually it is alone.

A launcher that starts several (torchrun, srun) lets each of them `join`. Everything else asks `world()`, and its
methods do nothing, or the obvious, where there is one process.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.distributed import Store

TIMEOUT = timedelta(minutes=10)
"""How long one process waits for another that is at work as far as anybody knows, as when rank 0 writes files."""


@dataclass(frozen=True)
class World:
    """This process among those that compute a stage together.

    Attributes:
        rank: 0 leads: it alone claims stages and writes their files.
        local_rank: among the processes of this machine.
        store: key-value pairs that all processes see; None where there is one process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    store: Store | None = field(default=None, repr=False)
    stages: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def next_store(self) -> Store:
        """A store for the next stage, which every process asks for at every stage."""
        assert self.store is not None
        return torch.distributed.PrefixStore(f"stage {next(self.stages)}", self.store)

    def form_group(self, store: Store) -> None:
        """Forms the process group that collectives run in: a new one for every stage, as a failure leaves it broken."""
        on_gpus = torch.cuda.is_available() and torch.distributed.is_nccl_available()
        torch.distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
            store=store,
            rank=self.rank,
            world_size=self.size,
            timeout=TIMEOUT,
        )

    def end_group(self, *, broken: bool = False) -> None:
        """Takes leave of the process group.

        Args:
            broken: whether others may wait in a collective that this process will not come to. NCCL frees them when
                it is told, gloo when nothing refers to the group any more.
        """
        if not torch.distributed.is_initialized():
            return
        group = torch.distributed.group.WORLD
        if broken and group is not None:
            with suppress(Exception):
                group.abort()
        with suppress(Exception):  # the others may be gone
            torch.distributed.destroy_process_group()

    def gpu(self) -> int:
        """The number of this process's own GPU.

        Raises:
            UserError: there are fewer GPUs than processes on this machine.
        """
        visible = torch.cuda.device_count()
        if visible == 1:  # the launcher shows every process its own
            return 0
        if self.local_rank >= visible:
            raise UserError(
                f"each process needs a GPU of its own: torch sees {visible} here, "
                f"and there are at least {self.local_rank + 1} processes on this machine"
            )
        return self.local_rank

    def sum_(self, tensor: Tensor) -> Tensor:
        """Adds up a tensor over all processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each number over all processes."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
        return tensor.tolist()

    def from_lead(self, content: bytes | None) -> bytes | None:
        """What rank 0 has; the others' own is not looked at."""
        if self.size == 1:
            return content
        length = torch.tensor(-1 if content is None or not self.leads else len(content))
        torch.distributed.broadcast(length, 0)
        if length < 0:
            return None
        whole = torch.empty(int(length), dtype=torch.uint8)
        if self.leads and content:
            whole.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        torch.distributed.broadcast(whole, 0)
        return whole.numpy().tobytes()


_world = World()


def world() -> World:
    """This process's place among those that compute a stage together."""
    return _world


def join() -> World:
    """Makes this process one of several, by the environment that torchrun gave it."""
    global _world
    if int(os.environ["WORLD_SIZE"]) > 1:
        store, rank, size = next(torch.distributed.rendezvous("env://", timeout=TIMEOUT))
        store = torch.distributed.PrefixStore("learngene-bench", store)
        _world = World(rank, size, int(os.environ["LOCAL_RANK"]), store)
    return _world


def join_job() -> World:
    """Makes this process one of the tasks of the submitit job that it runs in."""
    from submitit.helpers import TorchDistributedEnvironment

    # Each takes the GPU of its local rank itself, whatever the scheduler shows it.
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    return join()
