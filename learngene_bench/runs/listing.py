"""Lists the stages of a runs folder or a leaderboard with what they are called, for the look-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from learngene_bench.runs.lookup import NamedStage, find, find_one
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.base import read
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.manifest import Manifest, nothing_in, unless_quick
from learngene_bench.schema.stage import StageFile
from learngene_bench.schema.subject import CellFacts, PlannedCell
from learngene_bench.schema.sweep import Sweep
from learngene_bench.util.errors import UserError


def list_stages(runs: Runs) -> list[NamedStage]:
    """Lists all stages of the plans of a runs folder, each once.

    Raises:
        UserError: there are none.
    """
    found = _planned(runs)
    if not found:
        raise nothing_in(runs.root, "runs")
    return list(found.values())


def list_cells(runs: Runs) -> list[NamedStage]:
    """Lists all cells of a runs folder: those of its plans, and those whose folders are there without a plan.

    Raises:
        UserError: there are none.
    """
    return _list_kind(runs, "cell")


def list_genes(runs: Runs) -> list[NamedStage]:
    """Lists all genes of a runs folder: those of its plans, and those whose folders are there without a plan.

    Raises:
        UserError: there are none.
    """
    return _list_kind(runs, "gene")


def _list_kind(runs: Runs, kind: StageKind) -> list[NamedStage]:
    found = {address: stage for address, stage in _planned(runs).items() if stage.fields["kind"] == kind}
    known = {runs.folder(kind, address).path.name for address in found}
    for path in sorted((runs.root / kind).glob("*/config.json")):
        if path.parent.name not in known:
            file = read(StageFile, path)
            description = file.execution.description
            named = _named_cell(file.address, file.label, description.cell) if description else None
            found[file.address] = named or NamedStage(file.address, file.label, {"kind": kind, **_of_label(file.label)})
    if not found:
        raise nothing_in(runs.root, f"{kind}s")
    return list(found.values())


def find_finished(runs: Runs, query: str) -> list[StageFolder]:
    """Finds all finished cells that a query fits, sorted by their fields.

    Raises:
        UserError: no cell fits, or none that does is finished.
    """
    return [runs.folder("cell", stage.address) for stage in _finished(runs, query)]


def find_one_finished(runs: Runs, query: str) -> StageFolder:
    """Finds the only finished cell that a query fits.

    Raises:
        UserError: no cell or several fit, or the one that does is not finished.
    """
    return runs.folder("cell", find_one(_finished(runs, query), query, "cell").address)


def _finished(runs: Runs, query: str) -> Sequence[NamedStage]:
    found = find(list_cells(runs), query, "cell")
    states = {stage.address: runs.folder("cell", stage.address).state() for stage in found}
    if done := [stage for stage in found if states[stage.address] is State.DONE]:
        return done
    raise UserError(
        f"{found[0].label}: not done ({states[found[0].address]}), so there is no record or model of it yet"
    )


def _planned(runs: Runs) -> dict[str, NamedStage]:
    """Returns all stages of the plans of a runs folder, by address."""
    found: dict[str, NamedStage] = {}
    cells: dict[str, PlannedCell] = {}
    trials: dict[str, dict[str, str]] = {}
    manifests = unless_quick(runs.manifests())
    ordinary = {cell.address for manifest in manifests if not manifest.sweep for cell in manifest.cells}
    for manifest in manifests:
        cells |= {cell.address: cell for cell in manifest.cells}
        if manifest.sweep:
            own = _trial_options(manifest, manifest.sweep)
            trials |= {address: options for address, options in own.items() if address not in ordinary}
        for stage in manifest.stages:
            fields = {"kind": stage.kind, **_of_label(stage.label)}
            found.setdefault(stage.address, NamedStage(stage.address, stage.label, fields))
    return {
        address: _named_cell(address, stage.label, cells[address], trials.get(address)) if address in cells else stage
        for address, stage in found.items()
    }


def _trial_options(manifest: Manifest, sweep: Sweep) -> dict[str, dict[str, str]]:
    """Returns by address what a cell of a sweep can be found by beside what all cells can."""
    rows = {(row.method, row.variant, row.size): row.trial for row in sweep.rows}
    split = {"evaluation_split": "validation"} if sweep.role == "trials" else {}
    return {cell.address: {**rows[cell.method, cell.variant, cell.size], **split} for cell in manifest.cells}


def _named_cell(address: str, label: str, cell: CellFacts, trial: Mapping[str, str] | None = None) -> NamedStage:
    fields = {
        "kind": "cell",
        "method": cell.method,
        "size": cell.size,
        "width": str(cell.target["width"]),
        "depth": str(cell.target["depth"]),
        "task": cell.task,
        "seed": str(cell.seed),
    }
    pairs = [part.split("=", 1) for part in cell.variant.split(", ") if "=" in part]
    options = {name if "." in name else f"{cell.method}.{name}": value for name, value in pairs}
    usual = {"share": "100", "horizon": "1", "gene": str(cell.seed)}
    found = {"share": f"{cell.share:g}", "horizon": f"{cell.horizon:g}", "gene": str(cell.seeds[0])}
    options |= {name: value for name, value in found.items() if value != usual[name]}
    ordinary = {name: value for name, value in found.items() if value == usual[name]}
    return NamedStage(address, label, fields, {**options, **(trial or {})}, ordinary)


def _of_label(label: str) -> dict[str, str]:
    """Reads the fields that a label states: `gene of wave, width 48, seed 0`."""
    words = label.replace(",", "").split()
    pairs = {"of": "method", "width": "width", "depth": "depth", "seed": "seed"}
    return {pairs[name]: value for name, value in pairwise(words) if name in pairs}
