"""CPU cores and GPUs that this process may use, found without importing torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

CORE_SHARERS = "LGBENCH_CORE_SHARERS"
"""Environment variable of worker processes: the number of workers that share this process's cores."""


def visible_gpus() -> list[str]:
    """Lists the GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def usable_cores() -> list[int]:
    """Lists the logical cores that this process may use: the first thread of each physical core, then the others."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    return sorted(os.sched_getaffinity(0), key=lambda core: (_thread_of_core(core), core))


def cores_per_worker() -> int:
    """Counts the cores that this process may take for itself: its share, where workers share them."""
    return max(1, len(usable_cores()) // int(os.environ.get(CORE_SHARERS, "1")))


def _thread_of_core(core: int) -> int:
    """Returns 0 for the first hardware thread of a physical core, 1 for the second."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
    except OSError:
        return 0
    siblings: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        siblings += range(int(first), int(last or first) + 1)
    return sorted(siblings).index(core) if core in siblings else 0
