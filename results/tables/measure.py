"""Measures: what a table shows of every record, which is one metric after fine-tuning or as initialized.

A metric describes itself (`MetricSpec`): title, unit, bounds, direction, decimals. Tables ask it for all of these and
know no metric by name.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from learngene_bench.results.records.types import INITIAL, Record
from learngene_bench.schema.metric import MetricSpec

UNKNOWN = MetricSpec(name="metric", title="Primary metric")
"""Metric of a table that has no record yet."""


@dataclass(frozen=True)
class Measure:
    """A metric after fine-tuning, or of the target as initialized.

    Attributes:
        spec: description of the metric.
        initial: True for the value before fine-tuning.
        primary: True if the records name the metric as the one to print when none is asked for.
    """

    spec: MetricSpec
    initial: bool = False
    primary: bool = False

    @property
    def name(self) -> str:
        """Name in records, files, columns of the CSV and `--metric`: "top1", or "top1_initial" before fine-tuning."""
        return self.spec.name + (INITIAL if self.initial else "")

    @property
    def words(self) -> tuple[str, ...]:
        """Words that set the measure apart from the primary metric after fine-tuning, which has none."""
        return (*(() if self.primary else (self.spec.name,)), *(("initial",) if self.initial else ()))

    @property
    def heading(self) -> str:
        """Title with the unit, such as "Top-1 accuracy (%)"."""
        return f"{self.spec.title} ({self.spec.unit})" if self.spec.unit else self.spec.title

    @property
    def title(self) -> str:
        """Title of a table, but for what its columns differ in."""
        return f"{self.heading} {'as initialized, before any fine-tuning' if self.initial else 'after fine-tuning'}"

    @property
    def sign(self) -> float:
        """1 if higher is better, -1 if lower is: the better of two values has the higher product."""
        return 1.0 if self.spec.higher_is_better else -1.0

    @property
    def better(self) -> str:
        """Adjective of the best value."""
        return "highest" if self.spec.higher_is_better else "lowest"

    @property
    def side(self) -> str:
        """Side of a value on which the better ones are."""
        return "above" if self.spec.higher_is_better else "below"

    def usable(self, value: float | None) -> bool:
        """Returns whether a number is one that the metric can have; NaN and infinities are failures."""
        return value is not None and math.isfinite(value) and self.spec.holds(value)

    def values(self, records: Iterable[Record]) -> list[float]:
        """Returns the usable numbers among those of some records."""
        return [record.metrics[self.name] for record in records if self.usable(record.metrics.get(self.name))]

    def text(self, value: float) -> str:
        """Prints a value with the metric's decimals."""
        return f"{value:.{self.spec.decimals}f}"


def measure_names(records: Iterable[Record]) -> list[str]:
    """Returns the names of all measures of some records, those of the primary metric first."""
    records = list(records)
    found = dict.fromkeys(record.result.primary_metric for record in records)
    found |= dict.fromkeys(name for record in records for name in record.result.metric_specs)
    return [name + suffix for name in found for suffix in ("", INITIAL)]


def find_measure(records: Iterable[Record], metric: str | None = None, initial: bool = False) -> Measure | None:
    """Returns a measure of some records; None if none of them has it.

    Args:
        records: the records of one table. Where there are none yet, no metric is known, and one without a name is
            returned.
        metric: name of a metric or of a measure; None for the primary metric of most records.
        initial: True for the value before fine-tuning, where the name does not say so.
    """
    records = list(records)
    if not records:
        return Measure(UNKNOWN, initial, primary=True)
    primary = Counter(record.result.primary_metric for record in records).most_common(1)[0][0]
    metric = primary if metric is None else metric
    for name, before in ((metric, initial), (metric.removesuffix(INITIAL), True)):
        for record in records:
            if spec := record.result.metric_specs.get(name):
                return Measure(spec, before, name == primary)
    return None
