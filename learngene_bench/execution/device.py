"""The device that a stage computes on."""

from __future__ import annotations

import torch

from learngene_bench import distributed
from learngene_bench.util.errors import UserError

CHOICES = "auto, cpu, cuda, or one of several GPUs as cuda:1"


def choose_device(name: str) -> torch.device:
    """Returns the device of this kind; `auto` is a GPU where there is one. A GPU comes with its number.

    Raises:
        UserError: no such device; CUDA is asked for and not there, or there are fewer GPUs than processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"device {name!r}: choose {CHOICES}")
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("a GPU is asked for, but torch sees none (--set compute.device=cpu computes on the CPU)")
    if device.index is not None and device.index >= (count := torch.cuda.device_count()):
        raise UserError(f"device {name!r}: torch sees {count} {'GPU' if count == 1 else 'GPUs'}, counted from cuda:0")
    if device.index is None and distributed.world().size > 1:
        torch.cuda.set_device(distributed.world().gpu())
    return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
