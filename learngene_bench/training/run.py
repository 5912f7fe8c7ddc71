"""One training run: what it is given beside network, data and recipe, and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from learngene_bench.config.preset import Compute
from learngene_bench.util.rng import RngStreams

Evaluate = Callable[[nn.Module], float]


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
