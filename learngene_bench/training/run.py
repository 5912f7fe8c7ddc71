"""One training run: what it is given beside network, data and recipe, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from learngene_bench.config.preset import Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.distributed import World, world
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.parameter_group import ParameterGroup
from learngene_bench.schema.progress import Progress
from learngene_bench.training.evaluation import Measurement
from learngene_bench.util.rng import RngStreams

Evaluate = Callable[[nn.Module], Measurement]
"""Measures a network, by the primary metric first."""

EVALUATE_EVERY = 5
"""Epochs between two measurements of an ancestor, and of what a method trains. Learning curves alone depend on it."""


@dataclass(frozen=True)
class TrainedCurve:
    """The learning curve of one training, as far as it has come.

    Attributes:
        phase: name of the training.
        steps: optimizer steps in all.
        points: what was measured so far.
    """

    phase: str
    recipe: Recipe
    steps: int
    steps_per_epoch: int
    points: Sequence[CurvePoint]


Track = Callable[[TrainedCurve], None]
"""Receives the learning curve whenever it has a new point; raises no error and does not wait."""


@dataclass
class TrainingRun:
    """Everything that one training needs beside network, data and recipe.

    Attributes:
        name: what people call the run, and what its checkpoint and its random streams are called: `condensation`,
            `inheritance`, `finetuning`, ...
        classes: outputs of the network's head, and the length of mixed labels.
        kind: task kind of the data, which has the loss.
        evaluate: measures the network; None to measure nothing.
        evaluate_every: epochs between two measurements; the last epoch is always measured.
        measure_start: True to measure before the first step too.
        checkpoint: file to continue from and to save to; None for none.
        teacher: network to distil from (Eq. 6): KL(teacher || student) + cross entropy.
        teacher_flops: operations of the teacher's forward pass, per image.
        forward_flops: operations of the network's forward pass, per image; a `CustomObjective` counts its own.
        step_flops: operations of the part of a forward pass that does not depend on the batch, such as materialising
            weights.
        parameter_groups: the group of each parameter that trains at other rates than the recipe's.
        progress: receives how far the run is, a few times a second.
        track: receives the learning curve, for trackers.
        world: processes that share the batches out, each of which trains with the same arguments.
    """

    name: str
    streams: RngStreams
    compute: Compute
    classes: int
    kind: TaskKind = field(default_factory=task_kind)
    evaluate: Evaluate | None = None
    evaluate_every: int = 1
    measure_start: bool = False
    checkpoint: Path | None = None
    teacher: nn.Module | None = None
    teacher_flops: float = 0.0
    forward_flops: float = 0.0
    step_flops: float = 0.0
    parameter_groups: Mapping[nn.Parameter, ParameterGroup] = field(default_factory=dict)
    progress: Callable[[Progress], None] | None = None
    track: Track | None = None
    world: World = field(default_factory=world)
