"""Tries torch, torchvision and every GPU in a process of its own, and prints a line of JSON for each step.

    python -m learngene_bench.execution.torch_probe

A broken installation can raise an error, crash or hang. `lgbench doctor` calls `run`, which turns all three into words.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from learngene_bench.util.errors import describe_error
from learngene_bench.util.words import counted

LIMIT = 180.0
"""Time that all steps may take, seconds: a first import of torch from a slow disk takes a minute."""


def run(limit: float = LIMIT) -> tuple[list[dict[str, Any]], str]:
    """Runs this module as a process.

    Returns:
        What each step found, in order, as the functions below say it or as `{"step": NAME, "error": TEXT}`; and how the
        process ended if not well, else nothing.
    """
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit)
        output, status = done.stdout, done.returncode
        ended = "" if status == 0 else _how_it_ended(status, done.stderr)
    except subprocess.TimeoutExpired as expired:
        output, ended = expired.stdout or b"", f"it took longer than {counted(round(limit), 'second')}"
    except OSError as error:
        output, ended = b"", describe_error(error)
    return [json.loads(line) for line in output.splitlines() if line.startswith(b'{"step": ')], ended


def _how_it_ended(status: int, errors: bytes) -> str:
    if status < 0:
        return f"the process ended with {signal.Signals(-status).name}"
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return f"exit status {status}: {lines[-1]}" if lines else f"exit status {status}"


def _torch() -> dict[str, Any]:
    """Imports torch; says what it was built for, and the memory that a process with it takes, in bytes."""
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {hip}" if (hip := torch.version.hip) else ""
    return {"version": torch.__version__, "built_for": built or "CPUs", "memory": _peak_memory()}


def _peak_memory() -> int:
    """Returns the most memory that this process had resident, in bytes.

    Linux counts the process that started this one in `ru_maxrss`, so a large parent would be taken for torch.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _torchvision() -> dict[str, Any]:
    """Imports torchvision and calls one of its own operators, which exists only if it fits to torch."""
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    return {"version": torchvision.__version__}


def _gpus() -> dict[str, Any]:
    """Counts the GPUs that torch sees."""
    import torch

    return {"count": torch.cuda.device_count() if torch.cuda.is_available() else 0}


def _gpu(number: int) -> dict[str, Any]:
    """Multiplies two matrices on a GPU: a torch that was not built for its generation fails here, not before."""
    import torch

    device = torch.device("cuda", number)
    matrix = torch.ones(64, 64, device=device)
    if (matrix @ matrix).sum().item() != 64**3:
        raise ArithmeticError("a product of matrices is wrong")
    found = torch.cuda.get_device_properties(device)
    return {"name": found.name, "memory": found.total_memory}


def main() -> None:
    """Runs the steps; one that fails does not keep the next from being tried, but without torch there is none."""
    if _step("torch", _torch) is None:
        return
    _step("torchvision", _torchvision)
    seen = _step("gpus", _gpus)
    for number in range(seen["count"] if seen else 0):
        _step("gpu", partial(_gpu, number))


def _step(name: str, step: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        found = step()
    except Exception as error:
        print(json.dumps({"step": name, "error": describe_error(error)}), flush=True)
        return None
    print(json.dumps({"step": name, **found}), flush=True)
    return found


if __name__ == "__main__":
    main()
