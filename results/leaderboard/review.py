"""What a reviewer should know of records that come to a leaderboard, and the contradictions that keep them out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from learngene_bench.results.leaderboard.records import Kept, StageFiles
from learngene_bench.results.records.types import Results
from learngene_bench.util.errors import UserError

_NUMBERS = {
    "metrics": "accuracies",
    "initial_metrics": "initial accuracies",
    "curve": "learning curves",
    "initial_weights": "initial weights",
    "model": "weights after tuning",
}
"""Of a cell's record: what is the same if the cell was computed twice alike."""

_PLACE = re.compile(r"(?:^|(?<=[\s=:'\"(]))(?:~|[A-Za-z]:)?[/\\][\w.-][^\s'\",:)]*")
_NAMED = 3


def refuse_contradictions(old: Kept, new: Kept) -> None:
    """Raises `UserError` if a cell has a record in both with different numbers: someone has to find out why."""
    found = [
        (old.stages[address], new.stages[address], unlike)
        for address in sorted(old.done() & new.done())
        if new.stages[address].kind == "cell"
        and (unlike := _differing(old.stages[address], new.stages[address], _NUMBERS))
    ]
    if not found:
        return
    there, here, unlike = found[0]
    more = f"; so have {len(found) - 1} more cells" if len(found) > 1 else ""
    raise UserError(
        f"{here.label}: one configuration has two results, {_accuracies(there)} in {there.origin} and "
        f"{_accuracies(here)} in {here.origin} (different {', '.join(unlike)}){more}: "
        "`lgbench rerun` repeats either, and only cells that are not there yet can be added"
    )


def review(old: Kept, new: Kept, final: Kept, offered: Results) -> Iterator[str]:
    """What became of the records that were offered, and what of them is worth a look, in lines.

    Args:
        old: what the leaderboard kept before.
        new: what a runs folder offered.
        final: what the leaderboard keeps now.
        offered: all that the runs folder holds.
    """
    known = {address for address in new.done() & old.done() if new.stages[address].kind == "cell"}
    added = {address: new.stages[address] for address in new.done() - old.done() if address in final.stages}
    cells = [stage for stage in added.values() if stage.kind == "cell"]
    yield f"records added: {len(cells)}; already there with the same numbers: {len(known)}"
    failed = [stage for address, stage in final.stages.items() if stage.record is None and address in new.stages]
    yield from _line("failed, as the tables say", failed)
    replaced = [stage for address, stage in old.stages.items() if stage.kind == "cell" and address not in final.stages]
    yield from _line("replaced by newer ones", replaced)
    outdated = [stage for address, stage in new.stages.items() if stage.kind == "cell" and address not in final.stages]
    yield from _line("left out, as the leaderboard has newer ones", outdated)
    planned = {cell.folder for manifest in offered.manifests for cell in manifest.cells}
    if unplanned := sorted(offered.records.keys() - planned):
        yield f"left out, as no plan asks for them: {len(unplanned)} ({listed(unplanned)})"
    weights = [new.stages[address] for address in sorted(new.done() & old.done() - known)]
    others = [stage for stage in weights if _differing(old.stages[stage.address], stage, {"tensors": "weights"})]
    yield from _line("of other weights than in the leaderboard, as another machine computes them", others)
    yield from _origins(cells)
    plans = [plan for name, plan in new.plans.items() if name not in old.plans]
    places = {place for value in (*plans, *_contents(added.values())) for place in _places(value)}
    if places:
        yield f"places on a machine that are named, as in commands, and will be read: {listed(sorted(places))}"


def listed(names: Sequence[str]) -> str:
    """A few of the names."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _line(what: str, stages: Sequence[StageFiles]) -> Iterator[str]:
    if stages:
        yield f"{what}: {len(stages)} ({listed([stage.label for stage in stages])})"


def _origins(cells: Sequence[StageFiles]) -> Iterator[str]:
    """Code that others cannot check out."""
    codes = Counter(_code(json.loads(stage.record or b"{}")["provenance"]["git"]) for stage in cells)
    for code, count in sorted(codes.items()):
        if code:
            yield f"computed by {code}: {count}"
    methods = Counter((stage.config or {})["config"]["method"]["name"] for stage in cells if _plugin(stage))
    for name, count in sorted(methods.items()):
        yield f"of {name}, a plugin file without which nobody can repeat them: {count}"


def _code(git: Mapping[str, Any]) -> str:
    """What is not known of the code; nothing if it is a commit."""
    if git["commit"] is None:
        return "an installed package, of unknown commit"
    return f"commit {git['commit'][:8]} with uncommitted changes" if git["dirty"] else ""


def _plugin(stage: StageFiles) -> bool:
    return (stage.config or {})["config"]["method"].get("source_hash") is not None


def _differing(one: StageFiles, other: StageFiles, parts: Mapping[str, str]) -> list[str]:
    """The names of those parts of two records that are not the same."""
    first, second = (json.loads(stage.record or b"{}") for stage in (one, other))
    return [name for part, name in parts.items() if _numbers(first.get(part)) != _numbers(second.get(part))]


def _numbers(part: Any) -> Any:
    """Without what earlier versions wrote otherwise: the hash stands for all weights."""
    return part["sha256"] if isinstance(part, dict) and "sha256" in part else part


def _accuracies(stage: StageFiles) -> str:
    record = json.loads(stage.record or b"{}")
    return f"top-1 {record['metrics']['top1']:.4g} (as initialized {record['initial_metrics']['top1']:.4g})"


def _contents(stages: Iterable[StageFiles]) -> Iterator[Any]:
    for stage in stages:
        yield stage.config
        yield json.loads(stage.record or b"{}")


def _places(value: Any) -> Iterator[str]:
    """What looks like a path that starts at a root, in any text of a JSON value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _places(inner)
    elif isinstance(value, str):
        yield from _PLACE.findall(value)
