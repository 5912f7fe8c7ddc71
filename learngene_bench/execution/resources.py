"""The resources of worker processes on this machine: GPUs, or a share of the cores. Torch is not imported.

Workers are not pinned to cores: the kernel keeps as many of them apart as there are cores (benchmarks/overhead.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learngene_bench.config.preset import Compute
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import CORE_SHARERS, usable_cores, visible_gpus


@dataclass(frozen=True)
class WorkerSlot:
    """The resources of one worker.

    Attributes:
        gpus: names that CUDA_VISIBLE_DEVICES takes; empty for a worker that computes on the CPU.
    """

    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class PoolConfig:
    """The workers of a pool.

    Attributes:
        slots: the resources of each worker.
        processes: number of processes that compute one stage together; see `distributed`.
    """

    slots: Sequence[WorkerSlot]
    processes: int = 1

    def environment(self, slot: WorkerSlot) -> dict[str, str]:
        """Returns the environment variables of a worker."""
        gpus = {"CUDA_VISIBLE_DEVICES": ",".join(slot.gpus)} if slot.gpus else {}
        return {**gpus, CORE_SHARERS: str(len(self.slots))}


def worker_slots(
    compute: Compute, workers: int | None, per_gpu: int | None = None, processes: int = 1
) -> list[WorkerSlot]:
    """Divides this machine among workers.

    Args:
        workers: number of workers; by default one for each GPU, or as many as the cores hold.
        per_gpu: number of workers that share a GPU; 1 by default.
        processes: number of processes of one worker, each with a GPU of its own where there are GPUs.

    Raises:
        UserError: there are not as many GPUs.
    """
    gpus = [] if compute.device == "cpu" else visible_gpus()
    if not gpus:
        if per_gpu is not None:
            raise UserError("--per-gpu: there is no GPU here (--workers says how many processes share the cores)")
        fitting = len(usable_cores()) // (compute.threads * processes)
        return [WorkerSlot()] * (workers or max(1, fitting))
    if processes > len(gpus):
        raise UserError(f"{processes} processes for one model need as many GPUs; {len(gpus)} are visible")
    slots = [WorkerSlot(tuple(gpus[i : i + processes])) for i in range(0, len(gpus) - processes + 1, processes)]
    most = len(slots) * (per_gpu or 1)
    if workers is not None and workers > most:
        needed = -(-workers // len(slots))
        raise UserError(f"{workers} workers are more than {len(slots)} GPUs hold: --per-gpu {needed} lets them share")
    return [slots[i % len(slots)] for i in range(workers or most)]


def device_kind_here(compute: Compute) -> DeviceKind:
    """Resolves `compute.device = "auto"` on this machine: CUDA if a GPU is visible."""
    if compute.device == "auto":
        return "cuda" if visible_gpus() else "cpu"
    return compute.device
