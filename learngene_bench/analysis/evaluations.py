"""Evaluates the trained models of cells that exist already: predictions, and metrics on shifted copies of the images.

A cell's record stays as it is. What is found is written beside it, in `evaluations/`, and is not measured again. Only
here are shifted images made, after all training: no method and no selection sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.models import network_of
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, Shift, Split, Splits
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.data.dataloader import loader_workers
from learngene_bench.execution.device import choose_device
from learngene_bench.execution.stage_data import check_labels, planned_data, task_data
from learngene_bench.plugins.registry import Registry, dataset
from learngene_bench.runs.tensors import describe_file
from learngene_bench.schema.base import DataIdentity, read_if_there, write
from learngene_bench.schema.evaluation import AppliedShift, EvaluationRecord, evaluation_address, evaluation_name
from learngene_bench.schema.predictions import has_probabilities
from learngene_bench.schema.provenance import ComputedBy, Git, Provenance
from learngene_bench.schema.record import Evaluation
from learngene_bench.schema.stage import CellConfig
from learngene_bench.training.evaluation import PredictionsWanted, evaluate
from learngene_bench.training.inputs import plain_images
from learngene_bench.util import provenance, source_code
from learngene_bench.util.errors import UserError, unknown
from learngene_bench.util.files import write_bytes

NONE = "none"
"""Name that asks for no shift at all."""


@dataclass(frozen=True)
class Wanted:
    """One evaluation of a cell.

    Attributes:
        shift: None for the images as they are.
        address: address of the evaluation.
    """

    shift: AppliedShift | None
    address: str


class CellEvaluation:
    """The evaluations of one cell.

    Args:
        shifts: names of the shifts; all of its data set if none is given, no one for `NONE`.
        probabilities: True to keep the probabilities of all classes too.
        command: the command as typed, for the records.
    """

    def __init__(
        self, cell: AnalyzedCell, shifts: Sequence[str], *, probabilities: bool, command: Sequence[str]
    ) -> None:
        """Finds out what there is to evaluate, without loading an image.

        Raises:
            UserError: the data set has no shift of one of the names.
        """
        assert isinstance(cell.stage.config, CellConfig)
        self.cell, self.config, self.command = cell, cell.stage.config, tuple(command)
        self.probabilities = probabilities
        self.planned, self.settings = task_data(self.config, cell.stage.execution)
        self.data: Dataset = dataset(self.settings)
        self.known = {shift.name: shift for shift in self.data.shifts()}
        self.shifts = self._chosen(shifts)

    def _chosen(self, names: Sequence[str]) -> list[Shift]:
        if list(names) == [NONE]:
            return []
        for name in names:
            if name not in self.known:
                raise unknown(f"shift of {self.planned['name']}", name, [*self.known, NONE])
        return [self.known[name] for name in names] if names else list(self.known.values())

    @cached_property
    def kind(self) -> TaskKind:
        return task_kind(self.data.facts().kind)

    def wanted(self) -> list[Wanted]:
        """Lists the evaluations: of the images as they are, unless their predictions are kept, and of each shift."""
        shifts: list[AppliedShift | None] = [
            AppliedShift(name=shift.name, level=float(level), title=shift.title, version=shift.version)
            for shift in self.shifts
            for level in shift.levels
        ]
        folder = self.cell.runs.folder("cell", self.cell.address)
        has_predictions = self.cell.record.predictions is not None and folder.predictions.is_file()
        if self.kind.classifies and (not has_predictions or self.probabilities):
            shifts.insert(0, None)
        return [Wanted(shift, self._address(shift)) for shift in shifts]

    def missing(self) -> list[Wanted]:
        """Lists the evaluations that are not there yet; one that is damaged is not there."""
        return [wanted for wanted in self.wanted() if not self._is_there(wanted)]

    def _is_there(self, wanted: Wanted) -> bool:
        try:
            found = read_if_there(EvaluationRecord, self._path(wanted, ".json"))
        except UserError:
            return False
        if found is None or found.address != wanted.address:
            return False
        kept = self._path(wanted, ".npz")
        if found.predictions is None:
            return True
        is_same = kept.is_file() and describe_file(kept) == found.predictions
        return is_same and (not self.probabilities or has_probabilities(kept))

    def _path(self, wanted: Wanted, suffix: str) -> Path:
        folder = self.cell.runs.folder("cell", self.cell.address).evaluations
        return folder / f"{evaluation_name(wanted.address)}{suffix}"

    def _address(self, shift: AppliedShift | None) -> str:
        record = self.cell.record
        return evaluation_address(record.address, record.model.sha256, self._identity, record.evaluation.split, shift)

    @property
    def _identity(self) -> DataIdentity:
        return dict(self.planned)

    def measure(self, registry: Registry, evaluations: Sequence[Wanted]) -> Iterator[EvaluationRecord]:
        """Measures and writes the evaluations, one after the other.

        Raises:
            UserError: the model or the data are not those of the record any more.
        """
        compute = self.cell.stage.compute
        facts, splits = planned_data(self.planned, self.settings)
        device = choose_device("auto" if self.config.device == "cuda" else "cpu")
        torch.set_num_threads(compute.threads)
        network = network_of(self.cell, "finetuned", registry, facts).to(device)
        for wanted in evaluations:
            images = self._images(splits, facts, wanted.shift)
            yield self._measured(network, images, splits, facts, compute, device, wanted)

    def _images(self, splits: Splits, facts: DatasetFacts, shift: AppliedShift | None) -> Split:
        split = self.cell.record.evaluation.split
        images = splits.test if split == "test" else splits.validation
        if shift is None:
            check_labels(images, facts)
            return images
        return self.data.shifted(splits, split, shift.name, shift.level)

    def _measured(
        self,
        network: torch.nn.Module,
        images: Split,
        splits: Splits,
        facts: DatasetFacts,
        compute: Compute,
        device: torch.device,
        wanted: Wanted,
    ) -> EvaluationRecord:
        started, metrics = provenance.now(), self.kind.metrics()
        keep = PredictionsWanted(self.kind, self.kind.outputs(facts), self.probabilities)
        measured = evaluate(
            network,
            plain_images(images, splits, device, loader_workers(compute)),
            compute,
            metrics,
            predictions=keep if self.kind.classifies else None,
        )
        if measured.predictions:
            write_bytes(self._path(wanted, ".npz"), measured.predictions.content())
        record = EvaluationRecord(
            address=wanted.address,
            cell=self.cell.address,
            model=self.cell.record.model.sha256,
            data=self._identity,
            shift=wanted.shift,
            metrics=measured.metrics,
            metric_specs={name: metric.spec for name, metric in metrics.items()},
            primary_metric=self.kind.primary_metric,
            evaluation=Evaluation(
                split=self.cell.record.evaluation.split,
                images=len(images),
                how=self.kind.measured_how(facts),
                views=facts.views,
            ),
            predictions=describe_file(self._path(wanted, ".npz")) if measured.predictions else None,
            provenance=Provenance(
                command=self.command,
                versions=provenance.versions(),
                hardware=provenance.hardware(device.type, compute.threads, 1),
                git=Git(**provenance.git()),
                code=ComputedBy(sha256=source_code.identity()["sha256"]),
                started=started,
                finished=provenance.now(),
                data=self.config.data,
                task=self.config.task,
            ),
        )
        write(self._path(wanted, ".json"), record)
        return record


def difference(record: EvaluationRecord, recorded: Mapping[str, float]) -> str | None:
    """Says how an evaluation of the images as they are differs from the cell's record; None if it does not."""
    if record.shift is not None:
        return None
    for name, spec in record.metric_specs.items():
        if name in recorded and recorded[name] != record.metrics[name] and recorded[name] == recorded[name]:
            return f"{spec.title} is {record.metrics[name]:.6g} on this machine, and {recorded[name]:.6g} in the record"
    return None
