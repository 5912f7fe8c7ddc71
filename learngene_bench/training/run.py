"""A phase of training: the circumstances it is given, what it reports while it goes on, what it costs and leaves."""

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
    """What some work cost.

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
    """Where a phase reports how far it is; called at most a few times a second.

    Seconds left are those of this phase, at the pace since it started or continued; None before there is a pace.
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
class Phase:
    """The circumstances of one training: everything that is neither network nor data nor recipe.

    Attributes:
        name: names the phase's random streams and its checkpoint: `condensation`, `inheritance`, `tuning`, ...
        classes: of the data.
        evaluate: measures top-1 in percent; None for no measurement.
        evaluate_every: epochs between two measurements; the last epoch is always measured.
        checkpoint: file to continue from and to save to; None for none.
        teacher: distil from this network (Eq. 6): KL(teacher || student) + cross entropy.
        teacher_flops: of its forward pass, per image.
        forward_flops: of the network's forward pass, per image; an `OwnObjective` counts its own.
        step_flops: of the part of a forward pass that does not depend on the batch, such as materialising weights.
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
class Trained:
    """What a phase of training leaves beside the trained network.

    Attributes:
        curve: one entry per measurement: epoch, iterations, mean training loss since the last one, top-1 in percent.
    """

    cost: Cost = field(default_factory=Cost)
    curve: list[dict[str, Any]] = field(default_factory=list)
