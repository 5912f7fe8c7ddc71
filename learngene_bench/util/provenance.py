"""Describes how a number was made: package versions, commit, machine, time."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from learngene_bench.util.hardware import usable_cores

PACKAGES = ("learngene-bench", "torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn")


def now() -> str:
    """Returns the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache
def versions() -> dict[str, str]:
    """Returns the version of Python and of every package that numbers may depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@lru_cache
def git() -> dict[str, Any]:
    """Returns the commit of the checkout that runs and if it has changes.

    None for both in an installed wheel, and for what git does not say in time.
    """
    here = Path(__file__).resolve().parent

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed wheel may lie inside the checkout of another project.
    if ask("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return {"commit": None, "dirty": None}
    changed = ask("status", "--porcelain", "--untracked-files=no")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def hardware(device: str, threads: int, processes: int) -> dict[str, Any]:
    """Describes the machine, without its name.

    Args:
        device: "cpu" or "cuda".
        threads: Number of threads of one process.
        processes: Number of processes that computed the stage together.
    """
    import torch

    accelerator, here = torch.cuda.get_device_name() if device == "cuda" else None, machine()
    return {
        "device": device,
        "accelerator": accelerator,
        "cpu": here["cpu"],
        "cores": here["cores"],
        "threads": threads,
        "processes": processes,
        "system": here["system"],
    }


def machine() -> dict[str, Any]:
    """Describes the machine without its accelerator, which torch would have to be asked for."""
    return {
        "cpu": _cpu_model(),
        "cores": len(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
    }


@lru_cache
def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
