"""Creates models of timm by name, as a recipe or a file of weights needs them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

from learngene_bench.util.errors import UserError, describe_error, unknown


def create_timm_model(
    name: str, *, classes: int, channels: int, image_size: int, drop_path: float = 0.0, pretrained: bool = False
) -> nn.Module:
    """Creates a model of timm with weights that torch's global generator draws, or with timm's pretrained ones.

    Args:
        image_size: side of the images that it will see; pretrained positions are resampled for them, as timm does.
        drop_path: stochastic depth rate while training, also where the architecture has another one by default; 0 for
            an architecture that has none.

    Raises:
        UserError: timm has no such model, or none for images of this size.
    """
    # Asked before anything is drawn: the numbers of an architecture are those that it alone draws.
    rate: dict[str, Any] = {"drop_path_rate": drop_path} if not pretrained and has_drop_path(name) else {}
    size: dict[str, Any] = {"img_size": image_size} if needs_image_size(name, image_size) else {}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=classes, in_chans=channels, **rate, **size)
    except (AssertionError, ValueError, ZeroDivisionError) as error:
        if not size:
            raise
        raise UserError(
            f"timm builds no {name} for images of {image_size} x {image_size}: {describe_error(error)[:200]}"
        ) from error


@lru_cache
def needs_image_size(name: str, image_size: int) -> bool:
    """Returns True if models of this architecture are built for one image size, and their own is another one.

    Raises:
        UserError: timm has no such model.
    """
    check_known(name)
    own = timm.get_pretrained_cfg(name)
    if own is None or tuple(own.input_size[1:]) == (image_size, image_size):
        return False
    with torch.random.fork_rng([]), torch.device("meta"):
        try:
            timm.create_model(name, img_size=own.input_size[1])
        except TypeError:  # an unknown argument
            return False
    return True


def check_pretrained_head(name: str, classes: int, instead: str) -> None:
    """Checks that the head of a pretrained model of timm has an output for each class of a task.

    timm puts a random head in the place of one that has not, without a word.

    Args:
        instead: setting that takes a file of weights.

    Raises:
        UserError: timm has no such model, or its head has another number of outputs; says what to do.
    """
    check_known(name)
    own = timm.get_pretrained_cfg(name)
    if own is not None and own.num_classes != classes:
        head = (
            f"its pretrained head has {own.num_classes} outputs"
            if own.num_classes
            else "it is pretrained without a head"
        )
        raise UserError(f"{name}: {wrong_head(head, classes, instead)}")


def wrong_head(found: str, classes: int, instead: str) -> str:
    """Says what to do about a loaded network whose head is for another task.

    Args:
        found: the head that it has, in words.
    """
    return (
        f"{found}, and this task has {classes} classes; a random head would teach noise. Train its head on this task, "
        f"or keep the rows of these classes, and give the file with --set {instead}=FILE; or name another model"
    )


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
