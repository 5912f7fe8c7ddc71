"""Lists everything as one row for each cell and seed: for spreadsheets, data frames and scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from learngene_bench.results.records.grouping import TableCells
from learngene_bench.results.records.selection import table_cells
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.tables.measure import measure_names
from learngene_bench.results.tables.metric_table import WAYS
from learngene_bench.schema.constants import PHASES
from learngene_bench.schema.record import Failure
from learngene_bench.schema.rerun import Rerun
from learngene_bench.schema.subject import PlannedCell, Subject

if TYPE_CHECKING:
    import pandas

_SPENT = ("epochs", "iterations", "images", "flops", "seconds")


def columns(results: Results) -> list[str]:
    """Returns names and order of the columns; there are as many for metrics as the records have.

    state is done, failed, pending, or dash (the method does not support the target; it has no seed); reason says why a
    cell failed or is a dash. prepare_epochs is the table's "Epoch". cost_PHASE_NAME is what a phase spent. A metric
    that is not finite stays so. equal_budget is set in an equal-budget setting ("15,680 images"); a cell that it shares
    with the ordinary one (of a pre-trained model, which is not fine-tuned) has a row in each. cost_ancestors and
    cost_prepare are costs of the gene, whose folder is in gene: cells with one gene share them. stored_bytes is the
    size of the gene's file, 0 for a method without one, empty where neither the file nor a record tells it.
    cost_PHASE_parameters is how many numbers a phase trained, empty where the record does not tell it. horizon and
    share stand there if any cell has another one than 1 or 100; a model that is not fine-tuned has a row at every
    horizon. gene_seed stands there if any cell has a gene of another seed than its own; it is empty for the others.
    rerun_by and rerun stand there if any cell was computed once more: the names of those who did, the oldest re-run
    first, and what came out for each (same, differs, failed), separated by semicolons.
    """
    planned = [cell for manifest in results.manifests for cell in manifest.cells]
    return [
        *("protocol", "setting", "setting_description", "preset", "group", "method", "variant", "title", "size"),
        *("task", "source", "depth", "width", "seed", "state", "reason"),
        *measure_names(results.records.values()),
        *("test_images", "stored_parameters", "model_parameters", "prepare_epochs"),
        *(f"cost_{phase}_{name}" for phase in PHASES[1:] for name in _SPENT),
        *("address", "equal_budget"),
        *(f"cost_{PHASES[0]}_{name}" for name in _SPENT),
        *("stored_bytes", "gene", "initial_weights_sha256", "model_sha256"),
        *(f"cost_{phase}_parameters" for phase in PHASES),
        *(name for name in (*WAYS, "gene_seed") if len({getattr(cell, name) for cell in planned}) > 1),
        *(("rerun_by", "rerun") if any(cell.folder in results.reruns for cell in planned) else ()),
    ]


def rows(results: Results) -> list[dict[str, Any]]:
    """Returns the cells that the tables are made of, in a fixed order; None where there is nothing to say."""
    unique: dict[object, dict[str, Any]] = {}  # a depth and a width table may share a cell
    names = columns(results)
    for grid in table_cells(results):
        for key, row in _grid_rows(grid, results):
            unique.setdefault(key, {name: row.get(name) for name in names})
    return list(unique.values())


def to_frame(results: Results) -> pandas.DataFrame:
    """Returns the same rows as a data frame."""
    import pandas

    return pandas.DataFrame(rows(results), columns=columns(results))


def _grid_rows(grid: TableCells, results: Results) -> Iterator[tuple[object, dict[str, Any]]]:
    """Yields the rows of one table, each with a key that no other row has."""
    names = ("protocol", "setting", "setting_description", "preset")
    table: dict[str, Any] = {name: getattr(grid, name) for name in names}
    table["equal_budget"] = grid.equal_budget and grid.equal_budget.text
    for place, cells in grid.cells.items():
        every = {cell.seeds: cell for cell in (*cells.values(), *grid.crossed.get(place, {}).values())}
        for _, cell in sorted(every.items()):
            outcome = _outcome(results.outcome(cell), results)
            known = _reruns(results.reruns.get(cell.folder, ()))
            row = {**table, **_subject(cell), **_cell(cell), **outcome, **known}
            yield (grid.setting, cell.address, cell.horizon), row
    for place, dash in grid.dashes.items():
        if not grid.cells.get(place):
            yield (
                (grid.protocol, grid.setting, place),
                {**table, **_subject(dash), "state": "dash", "reason": dash.reason},
            )


def _subject(subject: Subject) -> dict[str, Any]:
    names = ("group", "method", "variant", "title", "size", "task", *WAYS)
    return {**{name: getattr(subject, name) for name in names}, **{k: subject.target[k] for k in ("depth", "width")}}


def _cell(cell: PlannedCell) -> dict[str, Any]:
    counts = {"stored_parameters": cell.parameters.stored, "model_parameters": cell.parameters.model}
    return {
        **{name: getattr(cell, name) for name in ("source", "seed", "gene_seed", "prepare_epochs", "address")},
        **counts,
    }


def _reruns(reruns: Sequence[Rerun]) -> dict[str, Any]:
    if not reruns:
        return {}
    return {"rerun_by": "; ".join(one.by for one in reruns), "rerun": "; ".join(one.outcome for one in reruns)}


def _outcome(outcome: Record | Failure | None, results: Results) -> dict[str, Any]:
    if outcome is None:
        return {"state": "pending"}
    if isinstance(outcome, Failure):
        return {"state": "failed", "reason": outcome.error}
    return {
        "state": "done",
        "test_images": outcome.result.evaluation.images,
        **outcome.metrics,
        **{f"cost_{phase}_{name}": getattr(outcome.cost[phase], name) for phase in PHASES for name in _SPENT},
        **{f"cost_{phase}_parameters": outcome.cost[phase].counted_parameters for phase in PHASES},
        "stored_bytes": results.stored_bytes(outcome),
        "gene": outcome.gene,
        "initial_weights_sha256": outcome.result.initial_weights.sha256,
        "model_sha256": outcome.result.model.sha256,
    }
