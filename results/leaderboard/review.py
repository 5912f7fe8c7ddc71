"""Reviews records that are to be added to a leaderboard: remarks for a reviewer, and conflicts that keep them out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from learngene_bench.results.leaderboard.content import Content
from learngene_bench.results.records.types import Results
from learngene_bench.schema.leaderboard import PublishedStage
from learngene_bench.schema.provenance import Git
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import CellConfig
from learngene_bench.util.errors import UserError

_PATH = re.compile(r"(?:^|(?<=[\s=:'\"(]))(?:~|[A-Za-z]:)?[/\\][\w.-][^\s'\",:)]*")
_NAMED = 3
"""Number of names that a line lists before it only counts the others."""


def check_conflicts(old: Content, new: Content) -> None:
    """Raises `UserError` if a cell has a record in both with different numbers: someone has to find out why."""
    conflicts = [
        (address, differences)
        for address in sorted(old.done() & new.done())
        if (differences := _differences(old.stages[address], new.stages[address]))
    ]
    for name in sorted(old.evaluated.evaluations.keys() & new.evaluated.evaluations.keys()):
        one, other = old.evaluated.evaluations[name], new.evaluated.evaluations[name]
        if one.metrics != other.metrics:
            shift = f"{one.shift.title} {one.shift.level:g}" if one.shift else "the images as they are"
            raise UserError(
                f"{new.stages[one.cell].label}: two evaluations on {shift} have different metrics: "
                "`lgbench evaluate` repeats either in a copy of the runs folder without its evaluations/"
            )
    if not conflicts:
        return
    address, differences = conflicts[0]
    more = f"; {len(conflicts) - 1} more cells have two results as well" if len(conflicts) > 1 else ""
    raise UserError(
        f"{new.stages[address].label}: one configuration has two results, {_numbers(old.stages[address])} in "
        f"{old.sources[address]} and {_numbers(new.stages[address])} in {new.sources[address]} "
        f"(different {', '.join(differences)}){more}: "
        "`lgbench rerun` repeats either, and only cells that are not there yet can be added"
    )


def review(old: Content, new: Content, final: Content, offered: Results) -> Iterator[str]:
    """Says what became of the records that were offered, and which of them are worth a look, in lines.

    Args:
        old: what the leaderboard held before.
        new: what a runs folder offered.
        final: what the leaderboard holds now.
        offered: everything in the runs folder.
    """
    both = old.done() & new.done()
    known = [new.stages[address] for address in sorted(both) if new.stages[address].kind == "cell"]
    added = [new.stages[address] for address in sorted(new.done() - old.done()) if address in final.stages]
    cells = [stage for stage in added if stage.kind == "cell"]
    yield f"records added: {len(cells)}; already there with the same numbers: {len(known)}"
    yield from _of_models(old, final)
    richer = [stage for stage in known if final.stages.get(stage.address, old.stages[stage.address]) is stage]
    yield from _line("replaced by records of more metrics", richer)
    failed = [stage for address, stage in final.stages.items() if stage.record is None and address in new.stages]
    yield from _line("failed, as the tables say", failed)
    yield from _line("replaced by newer ones", _gone(old, final))
    yield from _line("left out, as the leaderboard has newer ones", _gone(new, final))
    if unplanned := sorted(offered.records.keys() - offered.planned):
        yield f"left out, as no plan asks for them: {len(unplanned)} ({listed(unplanned)})"
    inputs = [new.stages[address] for address in sorted(both) if new.stages[address].kind != "cell"]
    others = [stage for stage in inputs if _weights(stage) != _weights(old.stages[stage.address])]
    yield from _line("with other weights than in the leaderboard, as another machine computes them", others)
    yield from _origins(cells)
    plans = [line for name, line in new.plans.items() if name not in old.plans]
    paths = {path for document in (*plans, *added) for path in _paths(document.model_dump(mode="json"))}
    if paths:
        yield f"paths of a machine that are published, as in commands: {listed(sorted(paths))}"


def listed(names: Sequence[str]) -> str:
    """Lists the first few names, and counts the others."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _line(what: str, stages: Sequence[PublishedStage]) -> Iterator[str]:
    if stages:
        yield f"{what}: {len(stages)} ({listed([stage.label for stage in stages])})"


def _of_models(old: Content, final: Content) -> Iterator[str]:
    """Counts the predictions and evaluations that are new."""
    before, after = old.evaluated, final.evaluated
    predictions = [after.predictions[path] for path in after.predictions.keys() - before.predictions.keys()]
    evaluations = after.evaluations.keys() - before.evaluations.keys()
    if predictions or evaluations:
        size = sum(map(len, predictions)) / 1000
        yield f"predictions added: {len(predictions)} ({size:,.0f} KB); evaluations added: {len(evaluations)}"


def _gone(before: Content, after: Content) -> list[PublishedStage]:
    """Returns the cells that no table asks for any more."""
    return [stage for address, stage in before.stages.items() if stage.kind == "cell" and address not in after.stages]


def _origins(cells: Iterable[PublishedStage]) -> Iterator[str]:
    """Names code that others cannot check out."""
    codes = Counter(_code(stage.record.provenance.git) for stage in cells if stage.record)
    for code, count in sorted(codes.items()):
        if code:
            yield f"computed by {code}: {count}"
    configs = [stage.config.config for stage in cells if stage.config]
    methods = [config.method for config in configs if isinstance(config, CellConfig)]
    for name, count in sorted(Counter(method.name for method in methods if method.source_hash).items()):
        yield f"of {name}, in a file of its own without which nobody can repeat them: {count}"


def _code(git: Git) -> str:
    """Returns what is not known of the code; nothing if it is a commit."""
    if git.commit is None:
        return "an installed package, of unknown commit"
    return f"commit {git.commit[:8]} with uncommitted changes" if git.dirty else ""


def _differences(one: PublishedStage, other: PublishedStage) -> list[str]:
    """Names the numbers of two records of a cell that differ. A metric that only one of them has is no difference."""
    first, second = one.record, other.record
    if not (isinstance(first, CellRecord) and isinstance(second, CellRecord)):
        return []
    common = first.metric_specs.keys() & second.metric_specs.keys()
    before, after = _compared(first, common), _compared(second, common)
    return [name for name in before if before[name] != after[name]]


def _compared(record: CellRecord, metrics: Collection[str]) -> dict[str, Any]:
    """Returns what is the same if a cell was computed twice alike, of these metrics."""

    def of(values: Mapping[str, float] | None) -> dict[str, float]:
        return {name: value for name, value in (values or {}).items() if name in metrics}

    return {
        "metrics": (of(record.initial_metrics), of(record.metrics)),
        "learning curves": [(point.epoch, point.loss, of(point.metrics)) for point in record.curve],
        "initial weights": record.initial_weights.sha256,
        "weights after fine-tuning": record.model.sha256,
    }


def _numbers(stage: PublishedStage) -> str:
    """Prints the primary metric of a cell's record."""
    assert isinstance(stage.record, CellRecord)
    record, name = stage.record, stage.record.primary_metric
    spec = record.metric_specs[name]
    return f"{spec.title} {record.metrics[name]:.4g} (as initialized {record.initial_metrics[name]:.4g})"


def _weights(stage: PublishedStage) -> str | None:
    """Returns the hash of the tensors of a gene or an ancestor."""
    return None if stage.record is None or isinstance(stage.record, CellRecord) else stage.record.tensors.sha256


def _paths(value: Any) -> Iterator[str]:
    """Finds what looks like a path from a root, in any text of a JSON value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _paths(inner)
    elif isinstance(value, str):
        yield from _PATH.findall(value)
