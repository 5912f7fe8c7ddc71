"""Compares a record with its repetition: the numbers, and the reasons for which other numbers are to be expected."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from learngene_bench.schema.base import Scalar
from learngene_bench.schema.cost import CellCost
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.provenance import Git, Provenance
from learngene_bench.schema.record import CellRecord, Record

_DECIDING = ("torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn")
"""Packages whose version may change the last digits."""

_DECIDING_HARDWARE = ("device", "accelerator", "cpu", "threads", "processes", "system")


@dataclass(frozen=True)
class ComparedValue:
    """One thing that both records say.

    Attributes:
        same: whether they agree.
        remark: how far they are apart, where that is a number.
    """

    name: str
    recorded: str
    repeated: str
    same: bool
    remark: str = ""


@dataclass(frozen=True)
class Repetition:
    """Comparison of two records of one configuration.

    Attributes:
        numbers: what was computed.
        environment: what it was computed with: code, versions, hardware.
        obstacles: why the same bits cannot be expected; empty if they can.
    """

    numbers: tuple[ComparedValue, ...]
    environment: tuple[ComparedValue, ...]
    obstacles: tuple[str, ...]

    @property
    def same(self) -> bool:
        """True if all numbers are the same."""
        return all(value.same for value in self.numbers)


def compare(recorded: CellRecord, repeated: CellRecord, inputs: Sequence[ComparedValue] = ()) -> Repetition:
    """Compares two records of one cell.

    Args:
        inputs: `compare_tensors` of what the cell was made of.
    """
    environment = tuple(_environment(recorded.provenance, repeated.provenance))
    return Repetition((*inputs, *_numbers(recorded, repeated)), environment, tuple(_obstacles(environment)))


def compare_tensors(name: str, recorded: Record, repeated: Record) -> ComparedValue:
    """Compares two records of a gene or an ancestor, by the hash of their tensors."""
    assert not isinstance(recorded, CellRecord)
    assert not isinstance(repeated, CellRecord)
    return _hashes(name, recorded.tensors.sha256, repeated.tensors.sha256)


def _numbers(recorded: CellRecord, repeated: CellRecord) -> Iterator[ComparedValue]:
    stages = (
        ("after fine-tuning", recorded.metrics, repeated.metrics),
        ("as initialized", recorded.initial_metrics, repeated.initial_metrics),
    )
    for when, before, after in stages:
        for name, value in before.items():
            spec = recorded.metric_specs[name]
            again = after.get(name, math.nan)
            remark = f"{again - value:+.3g} {'points' if spec.unit == '%' else spec.unit}".strip()
            same = value == again
            yield ComparedValue(f"{spec.title} {when}", f"{value:.6g}", f"{again:.6g}", same, "" if same else remark)
    yield _curves(recorded, repeated)
    yield _hashes("initial weights", recorded.initial_weights.sha256, repeated.initial_weights.sha256)
    yield _hashes("weights after fine-tuning", recorded.model.sha256, repeated.model.sha256)
    yield from _counted(recorded.cost, repeated.cost)


def _curves(recorded: CellRecord, repeated: CellRecord) -> ComparedValue:
    """Compares two learning curves: the first point in which they differ, and how far they are apart at most."""
    counts = f"{len(recorded.curve)} points", f"{len(repeated.curve)} points"
    if len(recorded.curve) != len(repeated.curve):
        return ComparedValue("learning curve", *counts, same=False)
    pairs = list(zip(recorded.curve, repeated.curve, strict=True))
    common = recorded.metric_specs.keys() & repeated.metric_specs.keys()
    unlike = [before.epoch for before, after in pairs if _measured(before, common) != _measured(after, common)]
    if not unlike:
        return ComparedValue("learning curve", *counts, same=True)
    spec = recorded.metric_specs[recorded.primary_metric]
    metric = _furthest(((b.metrics or {}).get(spec.name), (a.metrics or {}).get(spec.name)) for b, a in pairs)
    loss = _furthest((before.loss, after.loss) for before, after in pairs)
    what = f"points of {spec.name}" if spec.unit == "%" else f"of {spec.name}"
    remark = f"from epoch {unlike[0]:g}: {metric} {what}, {loss} of loss at most"
    return ComparedValue("learning curve", *counts, same=False, remark=remark)


def _measured(point: CurvePoint, metrics: Collection[str]) -> tuple[object, ...]:
    """Returns what a point holds of these metrics; a later version of the suite may measure more."""
    values = {name: value for name, value in (point.metrics or {}).items() if name in metrics}
    return point.epoch, point.iterations, point.loss, values


def _furthest(pairs: Iterable[tuple[float | None, float | None]]) -> str:
    distances = [abs(after - before) for before, after in pairs if before is not None and after is not None]
    return f"{max(distances, default=math.nan):.3g}"


def _hashes(name: str, before: str, after: str) -> ComparedValue:
    return ComparedValue(name, before[:12], after[:12], before == after)


def _counted(recorded: CellCost, repeated: CellCost) -> Iterator[ComparedValue]:
    """Compares what was spent, by phase, except seconds."""
    for phase, cost in recorded.items():
        for name, value in cost:
            again = getattr(repeated[phase], name)
            if name != "seconds" and value != again:
                yield ComparedValue(f"{name} to {phase}", f"{value:g}", f"{again:g}", same=False)


def _environment(recorded: Provenance, repeated: Provenance) -> Iterator[ComparedValue]:
    """Compares what both say; earlier versions said less."""
    for before, after in ((recorded.versions, repeated.versions), (recorded.hardware, repeated.hardware)):
        for name, value in before.items():
            if name in after:
                yield _compared(name, value, after[name])
    yield _compared("commit", _commit(recorded.git), _commit(repeated.git))
    yield _compared("code", _code(recorded), _code(repeated))


def _compared(name: str, before: Scalar, after: Scalar) -> ComparedValue:
    return ComparedValue(name, _text(before), _text(after), before == after)


def _text(value: Scalar) -> str:
    return "none" if value is None else str(value)


def _commit(git: Git) -> str | None:
    return f"{git.commit[:8]}{' with uncommitted changes' if git.dirty else ''}" if git.commit else None


def _code(provenance: Provenance) -> str | None:
    """The hash of the suite's files; earlier versions wrote none."""
    return provenance.code.sha256[:12] if provenance.code else None


def _obstacles(environment: tuple[ComparedValue, ...]) -> Iterator[str]:
    """Yields reasons why bits may differ: only the same kind of CPU, versions and code give the same bits."""
    by_name = {value.name: value for value in environment}
    if by_name["device"].recorded != "cpu":
        yield "GPUs do not add in one order"
    unlike = [name for name in (*_DECIDING, *_DECIDING_HARDWARE) if name in by_name and not by_name[name].same]
    if unlike:
        yield f"other {', '.join(unlike)}"
    if not by_name["code"].same:
        yield "other code of the suite"
