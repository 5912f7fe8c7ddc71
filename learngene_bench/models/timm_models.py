"""Creates models of timm by name, as a recipe or a file of weights needs them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

from learngene_bench.util.errors import unknown


def create_timm_model(name: str, *, classes: int, channels: int, drop_path: float = 0.0) -> nn.Module:
    """Creates a model of timm with weights that torch's global generator draws.

    Args:
        drop_path: stochastic depth rate while training, also where the architecture has another one by default; 0 for
            an architecture that has none.

    Raises:
        UserError: timm has no such model.
    """
    # Asked before anything is drawn: the numbers of an architecture are those that it alone draws.
    rate: dict[str, Any] = {"drop_path_rate": drop_path} if has_drop_path(name) else {}
    return timm.create_model(name, num_classes=classes, in_chans=channels, **rate)


@lru_cache
def has_drop_path(name: str) -> bool:
    """Returns True if stochastic depth changes the structure of this architecture.

    Raises:
        UserError: timm has no such model.
    """
    check_known(name)
    with torch.random.fork_rng([]), torch.device("meta"):
        try:
            structures = [repr(timm.create_model(name, drop_path_rate=rate)) for rate in (0.0, 0.5)]
        except TypeError:  # an unknown argument
            return False
    return structures[0] != structures[1]


def check_known(name: str) -> None:
    """Raises `UserError` if timm has no model of this name."""
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise unknown("architecture", name, ["convnet", *timm.list_models(f"{architecture[:4]}*")])
