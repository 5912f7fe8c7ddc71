"""The device that a stage computes on."""

from __future__ import annotations

import torch

from learngene_bench import distributed
from learngene_bench.util.errors import UserError


def choose_device(name: str) -> torch.device:
    """Returns the device of this kind; `auto` is a GPU where there is one.

    Raises:
        UserError: CUDA is asked for and not there, or there are fewer GPUs than processes.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("a GPU is asked for, but torch sees none (--set compute.device=cpu computes on the CPU)")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and distributed.world().size > 1:
        torch.cuda.set_device(distributed.world().gpu())
    return torch.device(name)
