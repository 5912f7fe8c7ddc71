"""Lengths of fine-tuning in optimizer steps: an epoch of few images is few steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from learngene_bench.results.records.types import Record
from learngene_bench.results.tables.numbers import plural, span


@dataclass(frozen=True)
class Length:
    """Length of the fine-tuning of a method's targets of one column.

    Attributes:
        steps: optimizer steps, ascending where seeds differ; 0 where nothing is fine-tuned.
        images: images of a step, likewise; their mean over the steps where the last batch of an epoch is smaller.
    """

    steps: tuple[int, ...]
    images: tuple[float, ...]

    def __str__(self) -> str:
        if self.steps == (0,):
            return "none"
        steps = f"{span(self.steps)} steps" if len(self.steps) > 1 else plural(self.steps[0], "step")
        return f"{steps} of {span(self.images)} image{'' if self.images == (1,) else 's'}"


def length_of(records: Iterable[Record]) -> Length | None:
    """Reads the length of what these records of one method and column fine-tuned; None if there are none."""
    spent = [record.cost["finetune"] for record in records]
    if not spent:
        return None
    steps = sorted({cost.iterations for cost in spent})
    images = sorted({round(cost.images / cost.iterations, 1) for cost in spent if cost.iterations})
    return Length(tuple(steps), tuple(images))
