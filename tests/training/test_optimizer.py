"""Optimizers and schedules against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.training.optimizer import optimizer_of, schedule_of


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"epochs": 10, "batch_size": 8, "learning_rate": 1e-3, **changes})


def test_the_polynomial_schedule_is_segmenters() -> None:
    steps, settings = 50, recipe(schedule="polynomial")
    optimizer = optimizer_of(nn.Linear(2, 2), settings)
    schedule = schedule_of(optimizer, settings, steps, 5)
    for step in range(steps):
        schedule.step_update(step)
        wanted = (1e-3 - 1e-5) * (1 - step / steps) ** 0.9 + 1e-5
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([wanted] * 2)


def test_warm_up_rises_before_the_polynomial_falls() -> None:
    settings = recipe(schedule="polynomial", warmup_epochs=1)
    optimizer = optimizer_of(nn.Linear(2, 2), settings)
    schedule = schedule_of(optimizer, settings, 50, 5)
    seen = []
    for step in range(6):
        schedule.step_update(step)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen[0] == pytest.approx(1e-6)
    assert seen[:5] == sorted(seen[:5])
    assert seen[5] == pytest.approx((1e-3 - 1e-5) * 0.9**0.9 + 1e-5)


def test_sgd_is_momentum_without_nesterov() -> None:
    layer = nn.Linear(3, 1, bias=False)
    start = layer.weight.detach().clone()
    optimizer = optimizer_of(layer, recipe(optimizer="sgd", weight_decay=0.0, learning_rate=0.1))
    gradients = torch.randn(4, 1, 3)
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        optimizer.step()
    velocity, wanted = torch.zeros(1, 3), start
    for gradient in gradients:
        velocity = 0.9 * velocity + gradient
        wanted = wanted - 0.1 * velocity
    assert torch.allclose(layer.weight, wanted, atol=1e-6)


def test_a_recipe_that_sets_neither_is_dumped_as_before_there_were_both() -> None:
    assert not recipe().model_dump().keys() & {"optimizer", "schedule"}
    assert recipe(optimizer="sgd").model_dump()["optimizer"] == "sgd"
