"""progress.json: how far a stage is, written a few times a second while it is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from learngene_bench.schema.base import Document


class Progress(Document):
    """State of one training run.

    Attributes:
        phase: name of the recipe that is trained by.
        step: optimizer steps so far.
        steps: optimizer steps in all.
        epoch: epochs so far.
        epochs: epochs in all.
        metrics: value by metric when it was last measured, the primary metric first; empty before that.
        seconds_left: seconds that this training will take, at its pace; null before there is a pace.
        time: when this was written, seconds since 1970.
    """

    phase: str
    step: int
    steps: int
    epoch: float
    epochs: float
    metrics: dict[str, float]
    seconds_left: float | None = None
    time: float


ProgressCallback: TypeAlias = Callable[[Progress], None]
"""Function to which a training run reports its progress, at most a few times a second."""
