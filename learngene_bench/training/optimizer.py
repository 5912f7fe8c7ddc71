"""Optimizer and learning-rate schedule of a recipe, both timm's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler, PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from learngene_bench.config.recipe import Recipe
from learngene_bench.schema.parameter_group import ParameterGroup, grouped_names

MOMENTUM = 0.9
"""Momentum of SGD; AdamW has none of this name."""
POWER = 0.9
"""Exponent of the polynomial schedule (Segmenter, and all of mmsegmentation's older recipes)."""


def optimizer_of(
    network: nn.Module, recipe: Recipe, groups: Mapping[nn.Parameter, ParameterGroup] | None = None
) -> Optimizer:
    """Returns the optimizer of a network's trainable parameters; biases, norms and positions are not decayed.

    Args:
        groups: the group of each parameter that trains at other rates than the recipe's.
    """
    optimizer = _optimizer(network, recipe)
    if groups:
        _split(optimizer, groups)
    return optimizer


def grouped(model: nn.Module, groups: Sequence[ParameterGroup]) -> dict[nn.Parameter, ParameterGroup]:
    """Returns the group of each parameter of a model that belongs to one."""
    parameters = dict(model.named_parameters())
    return {parameters[name]: group for name, group in grouped_names(parameters, groups).items()}


def _split(optimizer: Optimizer, groups: Mapping[nn.Parameter, ParameterGroup]) -> None:
    """Splits an optimizer's groups, so that each has the rates of one group of the method."""
    whole, optimizer.param_groups = optimizer.param_groups, []
    for settings in whole:
        parts: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in settings["params"]:
            group = groups.get(parameter)
            parts.setdefault((group.learning_rate, group.weight_decay) if group else (1.0, 1.0), []).append(parameter)
        for (learning_rate, weight_decay), parameters in parts.items():
            decay = settings["weight_decay"] * weight_decay
            # timm's schedules multiply the rate of each step by `lr_scale`.
            part = {**settings, "params": parameters, "weight_decay": decay, "lr_scale": learning_rate}
            optimizer.add_param_group(part)


def _optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
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
