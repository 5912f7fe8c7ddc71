"""Learning curves as the points that trackers are told: the same while a stage is computed and from its record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from learngene_bench.config.recipe import Recipe
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.record import AncestorRecord, GeneRecord, Record
from learngene_bench.schema.stage import AncestorConfig, CellConfig, Config, GeneConfig, TeacherConfig
from learngene_bench.training.optimizer import schedule_of
from learngene_bench.training.run import TrainedCurve


@dataclass(frozen=True)
class Point:
    """One point of a phase's curves.

    Attributes:
        step: optimizer steps of the phase so far.
        values: value by name, such as `finetuning/loss`; finite ones only.
    """

    step: int
    values: dict[str, float]


def points_of(curve: TrainedCurve) -> list[Point]:
    """Lists the points of a learning curve: training loss, metrics, epochs, and the learning rate of the step before.

    The rate is that of the recipe. A group of parameters that its method trains at another rate has a multiple of it.
    """
    rates = _rates(curve)
    found = []
    for point in curve.points:
        values = {"epoch": point.epoch, "loss": point.loss, "learning_rate": rates.get(point.iterations)}
        every = {**values, **(point.metrics or {})}
        named = {f"{curve.phase}/{name}": value for name, value in every.items() if value is not None}
        found.append(Point(point.iterations, {name: value for name, value in named.items() if math.isfinite(value)}))
    return found


def recorded_curves(config: Config, record: Record) -> Iterator[TrainedCurve]:
    """Yields the learning curves that a record keeps, by the phases' names during the computation."""
    if isinstance(record, GeneRecord):
        assert isinstance(config, GeneConfig)
        for phase, points in record.curve.items():
            yield _recorded(phase, config.recipes[phase], points)
    elif isinstance(record, AncestorRecord):
        if isinstance(config, TeacherConfig):
            phase, recipe = "teacher", config.teacher.recipe
        else:
            assert isinstance(config, AncestorConfig)
            phase, recipe = "pretraining", config.recipe
        if recipe is not None:
            yield _recorded(phase, recipe, record.curve)
    else:
        assert isinstance(config, CellConfig)
        recipe = config.finetuning or Recipe(iterations=0, batch_size=1, learning_rate=1.0)
        yield _recorded("finetuning", recipe, record.curve, record.cost.finetune)


def _recorded(phase: str, recipe: Recipe, points: Sequence[CurvePoint], cost: Cost | None = None) -> TrainedCurve:
    last = points[-1] if points else CurvePoint(epoch=0.0, iterations=0, loss=None, metrics=None)
    epochs = cost.epochs if cost else last.epoch  # the cost has more decimals
    return TrainedCurve(phase, recipe, last.iterations, round(last.iterations / epochs) if epochs else 1, points)


def _rates(curve: TrainedCurve) -> dict[int, float]:
    """Returns the learning rate of the step before each point, by the point's steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=curve.recipe.learning_rate)
    schedule = schedule_of(optimizer, curve.recipe, curve.steps, curve.steps_per_epoch)
    found = {}
    for point in curve.points:
        if point.iterations:
            schedule.step_update(point.iterations - 1)
            found[point.iterations] = float(optimizer.param_groups[0]["lr"])
    return found
