"""Everything as one list of rows, one for each cell and seed: for spreadsheets, data frames and scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from learngene_bench.results.records.selection import Grid, grids
from learngene_bench.results.records.types import METRICS, Record, Results
from learngene_bench.schema.record import Failure
from learngene_bench.schema.subject import PlannedCell, Subject

if TYPE_CHECKING:
    import pandas

_SPENT = ("epochs", "iterations", "images", "flops", "seconds")

COLUMNS = (
    "protocol",
    "setting",
    "setting_description",
    "preset",
    "group",
    "method",
    "variant",
    "title",
    "size",
    "task",
    "source",
    "depth",
    "width",
    "seed",
    "state",
    "reason",
    *METRICS,
    "test_images",
    "stored_parameters",
    "model_parameters",
    "prepare_epochs",
    *(f"cost_{phase}_{name}" for phase in ("prepare", "initialize", "finetune") for name in _SPENT),
    "address",
    "equal_budget_iterations",
    *(f"cost_ancestors_{name}" for name in _SPENT),
    "stored_bytes",
    "gene",
    "initial_weights_sha256",
    "model_sha256",
)
"""Names and order of the columns. New ones are only ever added at the end.

state is done, failed, pending, or dash (the method does not support the target; it has no seed); reason says why a cell
failed or is a dash. prepare_epochs is the table's "Epoch". cost_PHASE_NAME is what a phase spent. A metric that is not
finite stays so. equal_budget_iterations is there in an equal-budget setting; a cell that it shares with the ordinary
one (of a pre-trained model, which is not tuned) has a row in each. cost_ancestors and cost_prepare are those of the
gene, the folder of which is named: cells with one gene share them. stored_bytes is the size of the gene's file, 0 for a
method without one, none where the runs folder holds neither the file nor a record that says it.
"""


def rows(results: Results) -> list[dict[str, Any]]:
    """The cells that the tables are made of, in a fixed order; None where there is nothing to say."""
    unique: dict[object, dict[str, Any]] = {}  # a depth and a width table may share a cell
    for grid in grids(results):
        for key, row in _grid_rows(grid, results):
            unique.setdefault(key, {name: row.get(name) for name in COLUMNS})
    return list(unique.values())


def to_frame(results: Results) -> pandas.DataFrame:
    """The same rows as a data frame."""
    import pandas

    return pandas.DataFrame(rows(results), columns=list(COLUMNS))


def _grid_rows(grid: Grid, results: Results) -> Iterator[tuple[object, dict[str, Any]]]:
    """The rows of one table, each with what it is the only one of."""
    names = ("protocol", "setting", "setting_description", "preset")
    table: dict[str, Any] = {name: getattr(grid, name) for name in names}
    table["equal_budget_iterations"] = grid.equal_budget and grid.equal_budget.iterations
    for cells in grid.cells.values():
        for _, cell in sorted(cells.items()):
            outcome = _outcome(results.outcome(cell), results)
            yield (grid.setting, cell.address), {**table, **_subject(cell), **_cell(cell), **outcome}
    for place, dash in grid.dashes.items():
        if not grid.cells.get(place):
            yield (
                (grid.protocol, grid.setting, place),
                {**table, **_subject(dash), "state": "dash", "reason": dash.reason},
            )


def _subject(subject: Subject) -> dict[str, Any]:
    names = ("group", "method", "variant", "title", "size", "task")
    return {**{name: getattr(subject, name) for name in names}, **{k: subject.target[k] for k in ("depth", "width")}}


def _cell(cell: PlannedCell) -> dict[str, Any]:
    counts = {"stored_parameters": cell.parameters.stored, "model_parameters": cell.parameters.model}
    return {**{name: getattr(cell, name) for name in ("source", "seed", "prepare_epochs", "address")}, **counts}


def _outcome(outcome: Record | Failure | None, results: Results) -> dict[str, Any]:
    if outcome is None:
        return {"state": "pending"}
    if isinstance(outcome, Failure):
        return {"state": "failed", "reason": outcome.error}
    costs = {f"cost_{phase}_{name}": getattr(cost, name) for phase, cost in outcome.cost.items() for name in _SPENT}
    return {
        "state": "done",
        "test_images": outcome.test_images,
        **outcome.metrics,
        **costs,
        "stored_bytes": results.stored_bytes(outcome),
        "gene": outcome.gene,
        "initial_weights_sha256": outcome.result.initial_weights.sha256,
        "model_sha256": outcome.result.model.sha256,
    }
