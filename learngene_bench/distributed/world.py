"""The processes that compute stages together, seen by one of them. Usually it is alone.

A launcher that starts several (torchrun, srun) lets each of them `join`. Everything else asks `world()`, whose methods
return their arguments where there is one process.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

from learngene_bench.util.durations import duration
from learngene_bench.util.errors import UserError, first_line
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor
    from torch.distributed import Store

TIMEOUT = timedelta(minutes=10)
"""Longest wait for a process that is at work as far as anybody knows, for example while rank 0 writes files."""
PATIENCE = 30.0
"""Seconds of waiting for the other processes to come after which a process says for what it waits."""


@dataclass(frozen=True)
class World:
    """This process among those that compute a stage together.

    Attributes:
        rank: 0 to size - 1. Rank 0 alone takes the lease of a stage and writes its files.
        local_rank: number among the processes of this machine.
        store: key-value pairs that all processes see; None where there is one process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    store: Store | None = field(default=None, repr=False)
    stages: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def is_rank0(self) -> bool:
        """True for the process that writes files, also if it is alone."""
        return self.rank == 0

    def next_store(self) -> Store:
        """Returns a store for the next stage; every process asks for it at every stage."""
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
        """Leaves the process group.

        Args:
            broken: True if others may wait in a collective that this process will not come to. NCCL frees them when
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
        """Returns the number of this process's GPU.

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

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Adds up a tensor over all processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def all_reduce_max(self, *numbers: int) -> list[int]:
        """Returns the largest of each number over all processes."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
        return tensor.tolist()

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors by those of rank 0, in place."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def broadcast_bytes(self, content: bytes | None) -> bytes | None:
        """Returns the content of rank 0; the others' argument is ignored."""
        if self.size == 1:
            return content
        length = torch.tensor(-1 if content is None or not self.is_rank0 else len(content))
        self.broadcast([length])
        if length < 0:
            return None
        whole = torch.empty(int(length), dtype=torch.uint8)
        if self.is_rank0 and content:
            whole.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.broadcast([whole])
        return whole.numpy().tobytes()


_world = World()


def world() -> World:
    """Returns this process's place among those that compute a stage together."""
    return _world


def join() -> World:
    """Makes this process one of several if the environment from torchrun says so, once all of them have come.

    Raises:
        UserError: they have not come within `TIMEOUT`, or the place where they meet cannot be reached.
    """
    global _world
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return _world
    rank, limit = int(os.environ["RANK"]), duration(TIMEOUT.total_seconds())
    place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    waiting = f"process {rank} waits until all {size} processes have met at {place}, for at most {limit}"
    notice = threading.Timer(PATIENCE, lambda: print(waiting, file=sys.stderr, flush=True))
    notice.daemon = True
    notice.start()
    try:
        store, _, _ = next(torch.distributed.rendezvous("env://", timeout=TIMEOUT))
        store = torch.distributed.PrefixStore("learngene-bench", store)
        _meet(store, rank, size)
    except torch.distributed.DistError as error:
        raise UserError(f"{size} processes have not met at {place} within {limit}: {first_line(error)}") from error
    finally:
        notice.cancel()
    _world = World(rank, size, int(os.environ["LOCAL_RANK"]), store)
    return _world


def _meet(store: Store, rank: int, size: int) -> None:
    """Waits until every process has come. Raises `DistStoreError` with the numbers of those that have not."""
    store.set(f"come/{rank}", "")
    try:
        store.wait([f"come/{number}" for number in range(size)], TIMEOUT)
    except torch.distributed.DistStoreError as error:
        missing = [str(number) for number in range(size) if not store.check([f"come/{number}"])]
        raise torch.distributed.DistStoreError(f"process {', '.join(missing)} has not come") from error


def join_job() -> World:
    """Makes this process one of several: the tasks of the submitit job that it runs in."""
    from submitit.helpers import TorchDistributedEnvironment

    # Each takes the GPU of its local rank itself, whatever the scheduler shows it.
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    return join()
