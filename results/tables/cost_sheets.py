"""Costs as sheets for every format: what accuracy costs, each resource by phase, and the paper's claim of savings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables import published, wording
from learngene_bench.results.tables.costs import RESOURCES, CostTable, MethodCost, cost_tables
from learngene_bench.results.tables.sheet import Heading, Line, Sheet
from learngene_bench.results.tables.table import Row, slug
from learngene_bench.results.tables.wording import NOTHING, compact, on_axis, printed, superscript
from learngene_bench.schema.constants import PHASES

_SHOWN = {"flops": "FLOPs", "epochs": "Epochs", "images": "Images", "seconds": "Seconds"}
_PHASE_HEADINGS = (
    Heading("Once", "anc."),
    Heading("Once", "prepare"),
    Heading("Each", "init."),
    Heading("Each", "tune"),
)
_CLAIMANT = "wave"
_CLAIM = (
    "The WAVE paper (arXiv 2406.17503, abstract and introduction) says of WAVE that it outperforms the direct "
    "pre-training of n entire models, saving approximately n times in computation and 5 times in storage."
)
_PAPER_TUNING_EPOCHS = 10
"""What each target of the paper's Table 1 is tuned for, unless it is pre-trained itself."""

_SUMMARY_NOTES = (
    "A number above a column: of so many targets. They need what their genes cost once, ancestors included, and each "
    "its initializing and tuning. Every method bears the whole cost of its ancestors, though some share them here; a "
    "loaded ancestor costs nothing.",
    "Saving: how many times as many FLOPs direct pre-training of the same targets needs. Given anc.: the same where a "
    "method's ancestors are there already. Pays from: the least number of targets with which it needs no more.",
    "Stored: bytes of the genes. Front: no other method has a higher mean for as many FLOPs, or as high a one for "
    "fewer.",
)
_PHASE_NOTES = (
    "Once: preparing one target's gene and training its ancestors (anc.), which all that inherit from it share. Each: "
    "initializing and tuning one target. In all: until so many targets are tuned. Means over targets and seeds.",
    "Seconds depend on the machine and on what else ran there.",
)


def cost_sheets(results: Results) -> list[Sheet]:
    """For every size of every table: a summary, which has the data of all, and a sheet for each resource.

    After those of a table comes the paper's claim, if the method that it is about was measured.
    """
    sheets: list[Sheet] = []
    by_table: dict[str, list[CostTable]] = {}
    for costs in cost_tables(results):
        by_table.setdefault(costs.table.slug, []).append(costs)
    for sizes in by_table.values():
        for costs in sizes:
            sheets += [_summary(costs), *_resources(costs)]
        sheets += _claims(sizes)
    return sheets


class _Footnotes:
    """What is peculiar to a row, by number; each text once."""

    def __init__(self, costs: CostTable) -> None:
        self.texts: dict[str, int] = {}
        self._costs = costs

    def label(self, method: MethodCost) -> str:
        numbers = [self.texts.setdefault(text, len(self.texts) + 1) for text in self._remarks(method)]
        return method.row.label + ",".join(map(superscript, numbers))

    def _remarks(self, method: MethodCost) -> Iterator[str]:
        table = self._costs.table
        if len(method.indices) < self._costs.targets:
            labels = [table.columns[index].label for index in method.indices]
            yield f"of {on_axis(table.axis, labels)} only"
        if method.genes > 1:
            yield f"{method.genes:g} genes for {len(method.indices)} targets"


def _summary(costs: CostTable) -> Sheet:
    table, n = costs.table, costs.targets
    footnotes = _Footnotes(costs)
    front = costs.front(n)
    headings = [
        Heading("Top-1", "mean"),
        *(Heading("Top-1", f"={iterations}") for iterations in table.budgets),
        Heading("Iter.", "each"),
        *(Heading("FLOPs", str(count)) for count in _counts(n)),
        *(Heading("Saving", str(count)) for count in _counts(n)),
        Heading("Given anc.", str(n)),
        Heading("Pays", "from"),
        *(Heading("Stored", str(count)) for count in _counts(n)),
        Heading("Stored", "saving"),
        Heading("", "Front"),
    ]
    lines = []
    for method in costs.methods:
        each = math.fsum(method.phases[phase]["iterations"] for phase in PHASES[2:]) if method.phases else None
        cells = [
            NOTHING if method.accuracy is None else printed(method.accuracy),
            *_budget_means(method.row, costs),
            _amount(method, each),
            *(_amount(method, method.total("flops", count)) for count in _counts(n)),
            *(_times(method.saving("flops", count)) for count in _counts(n)),
            _times(method.saving("flops", n, given=True)),
            str(method.pays_from or NOTHING),
            *(_amount(method, method.stored.total(count) if method.stored else None) for count in _counts(n)),
            _times(method.stored_saving(n)),
            "•" if method in front else "",
        ]
        lines.append(Line(method.row.group, footnotes.label(method), tuple(cells)))
    return Sheet(
        name="cost",
        slug=slug("cost", table.slug, costs.size),
        title=_title("What accuracy costs", costs),
        subtitle=table.subtitle,
        corner=Heading(costs.size, ""),
        headings=tuple(headings),
        lines=tuple(lines),
        findings=tuple(_findings(costs, front)),
        notes=_SUMMARY_NOTES,
        footnotes=tuple(footnotes.texts),
        data=tuple(_facts(costs, method, front) for method in costs.methods),
    )


def _resources(costs: CostTable) -> Iterator[Sheet]:
    """One sheet for each resource: by phase, in all, and what is saved."""
    n = costs.targets
    for resource, name in _SHOWN.items():
        footnotes = _Footnotes(costs)
        yield Sheet(
            name=f"cost-{resource}",
            slug=slug("cost", resource, costs.table.slug, costs.size),
            title=_title(f"Cost in {name if name == 'FLOPs' else name.lower()}", costs),
            subtitle=costs.table.subtitle,
            corner=Heading(costs.size, ""),
            headings=(
                *_PHASE_HEADINGS,
                *(Heading("In all", str(count)) for count in _counts(n)),
                *(Heading("Saving", str(count)) for count in _counts(n)),
            ),
            lines=tuple(
                Line(
                    method.row.group,
                    footnotes.label(method),
                    (
                        *(_amount(method, method.phases[p][resource] if method.phases else None) for p in PHASES),
                        *(_amount(method, method.total(resource, count)) for count in _counts(n)),
                        *(_times(method.saving(resource, count)) for count in _counts(n)),
                    ),
                )
                for method in costs.methods
            ),
            findings=(),
            notes=_PHASE_NOTES,
            footnotes=tuple(footnotes.texts),
            data=(),
        )


def _claims(sizes: Sequence[CostTable]) -> Iterator[Sheet]:
    """The paper's claim, what its own Table 1 says of it, and what was measured; nothing at equal budget."""
    table = sizes[0].table
    measured = [(costs, method) for costs in sizes if (method := _claimant(costs)) and method.amounts]
    if not measured or table.equal_budget:
        return
    lines = [Line("learngene", "paper's claim", ("n", "n×", NOTHING, NOTHING, NOTHING, NOTHING, "5×", "> 0"))]
    if table.axis == "depth":
        lines += [_from_paper(size) for size in ("ti", "s", "b")]
    for costs, method in measured:
        n = costs.targets
        reference = method.reference.accuracy if method.reference else None
        difference = None if reference is None or method.accuracy is None else method.accuracy - reference
        cells = (
            str(n),
            _times(method.saving("epochs", n)),
            _times(method.saving("flops", n)),
            _times(method.saving("flops", n, given=True)),
            _times(method.saving("seconds", n)),
            _times(method.stored_saving(1)),
            _times(method.stored_saving(n)),
            NOTHING if difference is None else f"{difference:+.1f}",
        )
        lines.append(Line("learngene", f"here, {costs.size}", cells))
    yield Sheet(
        name="cost-claims",
        slug=slug("cost", "claims", table.slug),
        title=f"Savings over direct pre-training: the paper's claim and what is measured, by {table.axis}",
        subtitle=table.subtitle,
        corner=Heading(measured[0][1].row.label, ""),
        headings=(
            Heading("", "n"),
            Heading("Computation", "epochs"),
            Heading("Computation", "FLOPs"),
            Heading("Computation", "given anc."),
            Heading("Computation", "seconds"),
            Heading("Storage", "1 target"),
            Heading("Storage", "n targets"),
            Heading("Top-1", "diff."),
        ),
        lines=tuple(lines),
        findings=(),
        notes=(
            _CLAIM,
            f"Of the paper's Table 1: epochs of preparing, and {_PAPER_TUNING_EPOCHS} of tuning each target unless it "
            "is pre-trained; storage by its column Para.; mean Top-1 over its depths. It counts no ancestors.",
            "Here: everything that is spent until n targets are tuned, and the bytes of the genes.",
        ),
        footnotes=(),
        data=(),
    )


def _from_paper(size: str) -> Line:
    """What Table 1 says of one of the paper's models."""
    rows = [row for row in published.table("depth") if row["size"] == size]
    ours, reference = ([row for row in rows if row["method"] == name] for name in (_CLAIMANT, "direct-pt"))
    n = len(ours)

    def value(row: dict[str, str | float | None], key: str) -> float:
        return float(row[key] or 0)

    epochs = n * value(reference[0], "prepare_epochs") / (value(ours[0], "prepare_epochs") + n * _PAPER_TUNING_EPOCHS)
    stored = value(reference[0], "params_m") / value(ours[0], "params_m")
    difference = mean([value(row, "top1") for row in ours]) - mean([value(row, "top1") for row in reference])
    cells = (str(n), _times(epochs), *[NOTHING] * 3, _times(stored), _times(n * stored), f"{difference:+.1f}")
    return Line("learngene", f"Table 1, {published.SIZE_TITLES[size]}", cells)


def _claimant(costs: CostTable) -> MethodCost | None:
    return next((m for m in costs.methods if (m.row.method, m.row.variant) == (_CLAIMANT, "")), None)


def _findings(costs: CostTable, front: Sequence[MethodCost]) -> Iterator[str]:
    if front:
        names = ", ".join(method.row.label for method in front)
        yield f"Best for what they cost, with {_targets(costs.targets)}, from the cheapest on: {names}."
    yield from wording.leads(costs.table, costs.size)


def _title(what: str, costs: CostTable) -> str:
    table = costs.table
    budget = [wording.at_equal_budget(table.equal_budget)] if table.equal_budget else []
    labels = [table.columns[index].label for index in table.sizes()[costs.size]]
    return ", ".join([what, costs.size, on_axis(table.axis, labels), *budget])


def _counts(n: int) -> list[int]:
    return [1, n] if n > 1 else [1]


def _targets(count: int) -> str:
    return "1 target" if count == 1 else f"{count} targets"


def _budget_means(row: Row, costs: CostTable) -> list[str]:
    return [wording.mean(value) for value in row.means.get(costs.size, ())[1:]]


def _amount(method: MethodCost, amount: float | None) -> str:
    """A number; how many of the cells are there, if not all."""
    if method.done < method.expected:
        return f"{method.done}/{method.expected}"
    return NOTHING if amount is None else compact(amount)


def _times(ratio: float | None) -> str:
    """How many times as much, to two digits or more."""
    if ratio is None:
        return NOTHING
    return f"{ratio:.{0 if ratio >= 9.95 else 1 if ratio >= 0.95 else 2}f}×"


def _facts(costs: CostTable, method: MethodCost, front: Sequence[MethodCost]) -> dict[str, Any]:
    """All that the sheets of a size say of a method, unrounded."""
    table, n, row = costs.table, costs.targets, method.row
    facts: dict[str, Any] = {
        "protocol": table.protocol,
        "setting": table.setting,
        "setting_description": table.setting_description,
        "preset": table.preset,
        "equal_budget_iterations": table.equal_budget and table.equal_budget.iterations,
        "grid": table.grid,
        "axis": table.axis,
        "size": costs.size,
        "group": row.group,
        "method": row.method,
        "variant": row.variant,
        "title": row.label,
        "n": n,
        "targets": len(method.indices),
        "genes": method.genes,
        "done": method.done,
        "expected": method.expected,
        "top1": method.accuracy,
        "on_front": method in front,
        "pays_from": method.pays_from,
    }
    for resource in RESOURCES:
        facts |= {f"{p}_{resource}": method.phases[p][resource] if method.phases else None for p in PHASES}
        facts |= {
            f"one_target_{resource}": method.total(resource, 1),
            f"n_targets_{resource}": method.total(resource, n),
        }
        facts |= {f"saving_one_{resource}": method.saving(resource, 1)}
        facts |= {f"saving_n_{resource}": method.saving(resource, n)}
        facts |= {f"saving_n_given_ancestors_{resource}": method.saving(resource, n, given=True)}
    facts |= {"one_target_stored_bytes": method.stored and method.stored.total(1)}
    facts |= {"n_targets_stored_bytes": method.stored and method.stored.total(n)}
    facts |= {"saving_one_stored_bytes": method.stored_saving(1)}
    facts |= {"saving_n_stored_bytes": method.stored_saving(n)}
    return facts
