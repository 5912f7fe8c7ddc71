"""Optimizer and learning-rate schedule of a recipe, both timm's."""

from __future__ import annotations

from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler, PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from learngene_bench.config.recipe import Recipe

MOMENTUM = 0.9
"""Momentum of SGD; AdamW has none of this name."""
POWER = 0.9
"""Exponent of the polynomial schedule (Segmenter, and all of mmsegmentation's older recipes)."""


def optimizer_of(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Returns the optimizer of a network's trainable parameters; biases, norms and positions are not decayed."""
    settings: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":  # timm's "sgd" is Nesterov's, its "momentum" is not
        return create_optimizer_v2(network, opt="momentum", momentum=MOMENTUM, **settings)
    return create_optimizer_v2(network, opt="adamw", **settings)


def schedule_of(optimizer: Optimizer, recipe: Recipe, steps: int, steps_per_epoch: int) -> Scheduler:
    """Returns the schedule of the learning rate, step by step: a linear rise, then the fall that the recipe names."""
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), steps)
    settings: dict[str, Any] = {
        "t_initial": max(1, steps),
        "lr_min": min(recipe.minimum_learning_rate, recipe.learning_rate),
        "warmup_t": warmup,
        "warmup_lr_init": recipe.warmup_learning_rate if warmup else 0.0,
        "t_in_epochs": False,
    }
    if recipe.schedule == "polynomial":
        return PolyLRScheduler(optimizer, power=POWER, **settings)
    return CosineLRScheduler(optimizer, **settings)
