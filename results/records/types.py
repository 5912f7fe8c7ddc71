"""What runs folders hold, as types: cells, records, failures, manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from learngene_bench.results.records.fields import Scalar

GROUPS = ("direct", "transfer", "learngene", "pre-training", "other")
AXES = ("depth", "width", "task")
METRICS = ("top1", "top1_initial")
PHASES = ("ancestors", "prepare", "initialize", "tune")
"""Of a cell's cost; the first two are those of its gene, which other cells may share."""

FOLDER_DIGITS = 20
"""Digits of an address that name its folder."""


def is_accuracy(value: float) -> bool:
    """Whether the value of a metric can be a percentage of images: NaN, infinities and others are failures."""
    return 0.0 <= value <= 100.0


@dataclass(frozen=True)
class Subject:
    """What is measured, seeds apart: a method (with its non-default options) on a target and a task."""

    method: str
    variant: str
    title: str
    group: str
    size: str
    task: str
    target: Mapping[str, Scalar]


@dataclass(frozen=True)
class Cell:
    """One measurement, planned or done.

    Attributes:
        address: SHA-256 of everything that decides the result.
        stored_parameters: the paper's "Para.": what the method stores and the target inherits.
        prepare_epochs: the paper's "Epoch": what preparing the gene costs; None where nothing is prepared.
    """

    address: str
    subject: Subject
    source: str
    seed: int
    stored_parameters: int
    model_parameters: int
    prepare_epochs: float | None

    @property
    def folder(self) -> str:
        """Name of the folder that the cell's result lies in."""
        return self.address[:FOLDER_DIGITS]


@dataclass(frozen=True)
class Cost:
    """What one phase spent."""

    epochs: float
    iterations: float
    images: float
    flops: float
    seconds: float


@dataclass(frozen=True)
class EqualBudget:
    """Every method of a setting has as many iterations: its own of initializing and those of tuning together.

    Attributes:
        iterations: how many; the most, if sizes differ.
        of: the setting that is the same but for that: there, each method's own iterations come on top.
    """

    iterations: int
    of: str


@dataclass(frozen=True)
class Record:
    """A cell that is done.

    Attributes:
        metrics: percent of the test images; not finite when the method gave no usable number.
        cost: by phase: training the ancestors that the gene draws from, preparing the gene, initializing, tuning.
        gene: folder name of the gene that the target was initialized from; None where the method needs none.
        initial_sha256: of the weights as initialized, so that two records can be told to start alike.
        model_sha256: of the file with the weights after tuning.
    """

    path: Path
    cell: Cell
    protocol: int
    preset: str
    setting: str
    setting_description: str
    metrics: Mapping[str, float]
    cost: Mapping[str, Cost]
    test_images: int
    equal_budget: EqualBudget | None
    gene: str | None
    initial_sha256: str
    model_sha256: str


@dataclass(frozen=True)
class Failure:
    """A cell, gene or ancestor whose last attempt failed; the label says which, the error is one line."""

    path: Path
    label: str
    error: str


@dataclass(frozen=True)
class Dash:
    """A subject that its method does not support, and why."""

    subject: Subject
    reason: str


@dataclass(frozen=True)
class Manifest:
    """What one `lgbench run` intended; cells of several manifests with one setting and grid belong into one table.

    Attributes:
        grid: name of the grid of targets.
        methods: order of the rows within their groups.
        inputs: what each cell, gene and ancestor needs first; folder names.
    """

    path: Path
    protocol: int
    created: str
    preset: str
    grid: str
    axis: str
    setting: str
    setting_description: str
    equal_budget: EqualBudget | None
    cells: tuple[Cell, ...]
    dashes: tuple[Dash, ...]
    methods: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Results:
    """All that some runs folders hold.

    Attributes:
        records: by the name of the cell's folder.
        failures: likewise; also of the genes and ancestors that cells need.
        manifests: from old to new.
        inputs: those of all manifests together.
        gene_bytes: size of what each gene stores, by the name of its folder; of the genes that are there.
    """

    records: Mapping[str, Record]
    failures: Mapping[str, Failure]
    manifests: tuple[Manifest, ...]
    inputs: Mapping[str, tuple[str, ...]]
    gene_bytes: Mapping[str, int]

    def of_setting(self, setting: str) -> Results:
        """What plans of one setting ask for, and those of the same at equal budget, and nothing else."""
        manifests = tuple(
            manifest
            for manifest in self.manifests
            if setting in (manifest.setting, manifest.equal_budget and manifest.equal_budget.of)
        )
        planned = {cell.folder for manifest in manifests for cell in manifest.cells}
        records = {folder: record for folder, record in self.records.items() if folder in planned}
        return replace(self, records=records, manifests=manifests)

    def outcome(self, cell: Cell) -> Record | Failure | None:
        """The cell's record, else what failed, be it a gene that the cell needs, else None: not run yet."""
        return self.records.get(cell.folder) or self.failures.get(cell.folder) or self._failed_input(cell.folder)

    def stored_bytes(self, record: Record) -> int | None:
        """Size of the gene that the record's target was initialized from; None if the runs folders do not hold it."""
        return 0 if record.gene is None else self.gene_bytes.get(record.gene)

    def _failed_input(self, folder: str) -> Failure | None:
        for name in self.inputs.get(folder, ()):
            if failure := self.failures.get(name):
                return replace(failure, error=f"{failure.label}: {failure.error}")
            if deeper := self._failed_input(name):
                return deeper
        return None
