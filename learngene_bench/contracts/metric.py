"""`Metric`: one number that says how good a trained network is.

A metric is an entry point in the group `learngene_bench.metrics`, and is measured wherever a network of its task kind
is: on every target before, while and after it is fine-tuned, and on every ancestor. Its module is not imported to make
tables: records keep the `MetricSpec` beside the values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from learngene_bench.schema.metric import MetricSpec
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Metric(ABC):
    """A number that is a function of a sum over images, such as an accuracy.

    The sum is what makes it cheap and exact: batches and processes each add up their images, and the device is waited
    for once. A mean over classes is such a number too, if the sum has one entry for each class.

    Attributes:
        spec: name, unit, bounds, and how tables print it; `spec.name` is the name of the entry point.
        task_kinds: names of the task kinds that have this metric.
        shared_sum: name of the sum, for metrics that are functions of one sum: it is accumulated once for all of them.
    """

    spec: ClassVar[MetricSpec]
    task_kinds: ClassVar[tuple[str, ...]]
    shared_sum: ClassVar[str] = ""

    @abstractmethod
    def accumulate(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sums over the images of one batch.

        Args:
            outputs: what the network gives, (B, ...), possibly in bfloat16.
            targets: labels (B, ...).

        Returns:
            A tensor on the same device. Its shape does not depend on the batch; floating-point sums had better be in
            float64, as many of them are added up.
        """

    @abstractmethod
    def value(self, total: Tensor, images: int) -> float:
        """Turns the sum over all images into the metric.

        Args:
            total: sum of `accumulate` over batches and processes, on the CPU.
            images: number of images.
        """

    def by_class(self, total: Tensor) -> list[float | None] | None:
        """Turns the sum into one value for each class, which the record of a cell keeps; None for a metric without.

        A class that does not occur has the value None.
        """
        return None


METRICS: Plugins[Metric] = Plugins("learngene_bench.metrics", "metric", Metric)
"""All metrics by name."""


@lru_cache
def metrics_of(kind: str) -> dict[str, Metric]:
    """Creates all metrics of a task kind, by name.

    Raises:
        UserError: a metric cannot be imported, or has another name than its entry point.
    """
    found = {}
    for name in METRICS.names():
        metric = METRICS.get(name)
        if metric.spec.name != name:
            raise UserError(f"metric {name!r}: its spec calls it {metric.spec.name!r}; both names must be the same")
        if kind in metric.task_kinds:
            found[name] = metric()
    return found
