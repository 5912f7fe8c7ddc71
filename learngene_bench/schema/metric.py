"""Metrics: what a number means and how tables print it, kept beside the number."""

from __future__ import annotations

from pydantic import model_validator

from learngene_bench.schema.base import Document, Text


class MetricSpec(Document):
    """Description of a metric, with which a table can print any metric.

    Attributes:
        name: key of the metric in records, such as `top1`.
        title: what tables call it.
        unit: what stands behind a number, such as `%`; empty for a plain number.
        bounds: least and greatest value that the metric can have; null where it is unbounded.
        higher_is_better: true if a greater value is the better one.
        decimals: digits that tables print after the point.
        counts_images: true if the metric is the percentage of images that a model answers right, so that a value
            stands for a whole number of images.
    """

    name: Text
    title: Text
    unit: Text = ""
    bounds: tuple[float | None, float | None] = (None, None)
    higher_is_better: bool = True
    decimals: int = 2
    counts_images: bool = False

    def holds(self, value: float) -> bool:
        """Returns True if the metric can have this value; NaN it never has."""
        low, high = self.bounds
        return (low is None or value >= low) and (high is None or value <= high) and value == value


class CurvePoint(Document):
    """One measurement while a network is trained; the first of a cell is of the target as initialized.

    Attributes:
        epoch: passes over the training split so far.
        iterations: optimizer steps so far.
        loss: mean training loss since the point before; null for a point before any step.
        metrics: value by metric; null where only the loss was measured.
    """

    epoch: float
    iterations: int
    loss: float | None
    metrics: dict[str, float] | None


class Measured(Document):
    """Values of metrics, with what they mean.

    Attributes:
        metrics: value by metric after training.
        metric_specs: what each of them is.
        primary_metric: the one that tables print when none is asked for.
    """

    metrics: dict[str, float]
    metric_specs: dict[str, MetricSpec]
    primary_metric: str

    @model_validator(mode="after")
    def _every_metric_is_described(self) -> Measured:
        if self.metrics.keys() != self.metric_specs.keys():
            raise ValueError("'metrics' and 'metric_specs' are not of the same names")
        if self.primary_metric not in self.metrics:
            raise ValueError(f"'metrics' lacks the primary metric {self.primary_metric!r}")
        return self
