"""Content of runs folders as tables read it: records, failures, plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.cost import CellCost
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import CellResult, Failure
from learngene_bench.schema.rerun import Rerun
from learngene_bench.schema.subject import CellFacts, PlannedCell

INITIAL = "_initial"
"""Suffix of a metric's name that stands for its value before fine-tuning."""


@dataclass(frozen=True)
class Record:
    """A cell that is done.

    Attributes:
        path: the file that holds it.
        result: the part of the record that tables are made of.
    """

    path: Path
    result: CellResult

    @property
    def address(self) -> str:
        return self.result.address

    @property
    def cell(self) -> CellFacts:
        return self.result.cell

    @property
    def cost(self) -> CellCost:
        return self.result.cost

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """Value by metric; the metrics before fine-tuning have names that end in `_initial`."""
        initial = {f"{name}{INITIAL}": value for name, value in self.result.initial_metrics.items()}
        return {**self.result.metrics, **initial}

    @property
    def gene(self) -> str | None:
        """Folder name of the gene that the target was initialized from; None where the method needs none."""
        address = self.result.inputs.get("gene")
        return address and address[:FOLDER_DIGITS]

    def planned(self) -> PlannedCell:
        """Returns the cell as a plan would name it."""
        return PlannedCell.model_construct(address=self.address, **dict(self.cell))


@dataclass(frozen=True)
class Results:
    """All that some runs folders hold.

    Attributes:
        records: by the name of the cell's folder.
        failures: likewise; also of the genes and ancestors that cells need.
        manifests: from old to new.
        inputs: what each cell, gene and ancestor needs first, of all manifests together; folder names.
        gene_bytes: size of what each gene stores, by the name of its folder; of the genes that are there.
        reruns: who has computed a cell once more, by the name of its folder, the oldest first.
    """

    records: Mapping[str, Record]
    failures: Mapping[str, Failure]
    manifests: tuple[Manifest, ...]
    inputs: Mapping[str, tuple[str, ...]]
    gene_bytes: Mapping[str, int]
    reruns: Mapping[str, tuple[Rerun, ...]] = field(default_factory=dict)

    def unless_quick(self) -> Results:
        """Leaves quick runs out, unless there is nothing else."""
        records = {name: record for name, record in self.records.items() if not record.result.is_quick}
        ordinary = tuple(manifest for manifest in self.manifests if not manifest.is_quick)
        return replace(self, records=records, manifests=ordinary) if records or ordinary else self

    def of_setting(self, setting: str) -> Results:
        """Keeps the results that plans of one setting ask for, and those of the same setting at equal budget."""
        return self.of_manifests(
            manifest
            for manifest in self.manifests
            if setting in (manifest.setting, manifest.equal_budget and manifest.equal_budget.of)
        )

    def of_sweep(self, sweep: str) -> Results:
        """Keeps the results of one sweep, by address, and those of the setting in which nothing is swept."""
        settings = {found.sweep.of for found in self.manifests if found.sweep and found.sweep.address == sweep}
        return self.of_manifests(
            manifest
            for manifest in self.manifests
            if (manifest.sweep.address == sweep if manifest.sweep else manifest.setting in settings)
        )

    def of_manifests(self, manifests: Iterable[Manifest]) -> Results:
        """Keeps the results that these manifests ask for."""
        chosen = replace(self, manifests=tuple(manifests))
        return replace(chosen, records={k: record for k, record in self.records.items() if k in chosen.planned})

    @cached_property
    def planned(self) -> frozenset[str]:
        """Folder names of all cells that some manifest asks for."""
        return frozenset(cell.folder for manifest in self.manifests for cell in manifest.cells)

    def outcome(self, cell: PlannedCell) -> Record | Failure | None:
        """The cell's record, else what failed, be it a gene that the cell needs, else None: not run yet."""
        return self.records.get(cell.folder) or self.failures.get(cell.folder) or self._failed_input(cell.folder)

    def stored_bytes(self, record: Record) -> int | None:
        """Size of the gene that the record's target was initialized from; None if the runs folders do not hold it."""
        return 0 if record.gene is None else self.gene_bytes.get(record.gene)

    def _failed_input(self, folder: str) -> Failure | None:
        for name in self.inputs.get(folder, ()):
            if failure := self.failures.get(name):
                return failure.model_copy(update={"error": f"{failure.label}: {failure.error}"})
            if deeper := self._failed_input(name):
                return deeper
        return None
