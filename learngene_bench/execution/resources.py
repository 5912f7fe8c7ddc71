"""Where workers of this machine compute: one place a worker, cores of its own or GPUs of its own. Without torch."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from learngene_bench.config.preset import Compute
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import usable_cores, visible_gpus


@dataclass(frozen=True)
class Slot:
    """The place of one worker.

    Attributes:
        gpus: by the names that CUDA_VISIBLE_DEVICES takes; none for work on the CPU.
    """

    gpus: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """What a process must have in its environment to compute here."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}


def local_device(compute: Compute) -> DeviceKind:
    """Returns the kind of device that workers of this machine compute on."""
    return device_kind(compute, has_gpus=bool(visible_gpus()))


def device_kind(compute: Compute, *, has_gpus: bool) -> DeviceKind:
    """Returns the kind of device that these settings mean: `auto` is a GPU where there is one."""
    if compute.device == "auto":
        return "cuda" if has_gpus else "cpu"
    return compute.device


def slots(compute: Compute, workers: int | None, per_gpu: int | None = None, processes: int = 1) -> list[Slot]:
    """The places of a pool's workers.

    Args:
        workers: how many; by default as many as there are GPUs, or as fit on the cores.
        per_gpu: workers that share a GPU; 1 by default.
        processes: of one worker, each with a GPU of its own where there are GPUs.

    Raises:
        UserError: there are not as many GPUs.
    """
    gpus = [] if compute.device == "cpu" else visible_gpus()
    if not gpus:
        if per_gpu is not None:
            raise UserError("--per-gpu: there is no GPU here (--workers says how many processes share the cores)")
        fitting = len(usable_cores()) // (compute.threads * processes)
        return [Slot()] * (workers or max(1, fitting))
    if processes > len(gpus):
        raise UserError(f"{processes} processes for one model need as many GPUs; {len(gpus)} are visible")
    places = [Slot(tuple(gpus[i : i + processes])) for i in range(0, len(gpus) - processes + 1, processes)]
    most = len(places) * (per_gpu or 1)
    if workers is not None and workers > most:
        needed = -(-workers // len(places))
        raise UserError(f"{workers} workers are more than {len(places)} GPUs hold: --per-gpu {needed} lets them share")
    return [places[i % len(places)] for i in range(workers or most)]


class Cores:
    """Cores for workers to be pinned to, locked so that other runs of this person on this machine take others."""

    def __init__(self, cores: Sequence[int]) -> None:
        self.free = list(cores)
        self.locks: list[IO[str]] = []
        self.folder = Path(tempfile.gettempdir()) / f"lgbench-cores-{os.getuid()}"

    def take(self, count: int) -> set[int]:
        """As many cores, this process's until `release` or its end; none if so many are not free."""
        locked: dict[int, IO[str]] = {}
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True, mode=0o700)
            for core in self.free:
                stream: IO[str] = (self.folder / f"{core}.lock").open("w")
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    stream.close()
                    continue
                locked[core] = stream
                if len(locked) == count:
                    self.free = [core for core in self.free if core not in locked]
                    self.locks += locked.values()
                    return set(locked)
        for stream in locked.values():
            stream.close()
        return set()

    def release(self) -> None:
        for stream in self.locks:
            stream.close()
