"""One training run: what it is given beside network, data and recipe, what it reports, what it costs and leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from learngene_bench.config.preset import Compute
from learngene_bench.util.rng import RngStreams

Evaluate = Callable[[nn.Module], float]


@dataclass
class Cost:
    """The cost of some work.

    Attributes:
        epochs: passes over the training split.
        images: training images seen, an image counted each time.
        flops: floating-point operations of the matrix products, analytically: a training step is three forward
            passes, and a teacher's forward pass is added.
        seconds: wall clock, evaluation and checkpoints included.
    """

    epochs: float = 0.0
    iterations: int = 0
    images: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


class Progress(Protocol):
    """Receives how far a training run is; called at most a few times a second.

    Seconds left are those of this run, at the pace since it started or continued; None before there is a pace.
    """

    def __call__(
        self,
        phase: str,
        step: int,
        steps: int,
        epoch: float,
        epochs: float,
        top1: float | None,
        seconds_left: float | None,
    ) -> None: ...


@dataclass
class TrainingRun:
    """Everything that one training needs beside network, data and recipe.

    Attributes:
        name: names the run's random streams and its checkpoint: `condensation`, `inheritance`, ...
        classes: number of classes of the data.
        evaluate: measures top-1 in percent; None to measure nothing.
        evaluate_every: epochs between two measurements; the last epoch is always measured.
        measure_start: True to measure before the first step too.
        checkpoint: file to continue from and to save to; None for none.
        teacher: network to distil from (Eq. 6): KL(teacher || student) + cross entropy.
        teacher_flops: operations of the teacher's forward pass, per image.
        forward_flops: operations of the network's forward pass, per image; a `CustomObjective` counts its own.
        step_flops: operations of the part of a forward pass that does not depend on the batch, such as materialising
            weights.
    """

    name: str
    streams: RngStreams
    compute: Compute
    classes: int
    evaluate: Evaluate | None = None
    evaluate_every: int = 1
    measure_start: bool = False
    checkpoint: Path | None = None
    teacher: nn.Module | None = None
    teacher_flops: float = 0.0
    forward_flops: float = 0.0
    step_flops: float = 0.0
    progress: Progress | None = None


@dataclass
class TrainResult:
    """What a training run leaves beside the trained network.

    Attributes:
        curve: one entry per measurement: epoch, iterations, mean training loss since the last one, top-1 in percent.
    """

    cost: Cost = field(default_factory=Cost)
    curve: list[dict[str, Any]] = field(default_factory=list)
