"""A metric in one file: how sure a network is."""

from __future__ import annotations

from typing import Any, ClassVar

from learngene_bench import Metric, MetricSpec


class Confidence(Metric):
    """Mean of the greatest class probability."""

    spec = MetricSpec(name="confidence", title="Mean confidence", bounds=(0.0, 1.0), decimals=3)
    task_kinds: ClassVar[tuple[str, ...]] = ("classification",)

    def accumulate(self, outputs: Any, targets: Any) -> Any:
        return outputs.float().softmax(-1).amax(-1).double().sum()

    def value(self, total: Any, images: int) -> float:
        return float(total) / images
