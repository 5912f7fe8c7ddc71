"""evaluations/NAME.json: a cell's trained model, measured once more after its record was written."""

from __future__ import annotations

from pydantic import Field, model_validator

from learngene_bench.config.preset import Split
from learngene_bench.schema.base import Address, DataIdentity, Document, File, Sha256, Text
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.metric import Measured
from learngene_bench.schema.provenance import Provenance
from learngene_bench.schema.record import Evaluation, Tensors
from learngene_bench.util.files import address_of

EVALUATIONS = "evaluations"
"""Name of the folder beside a cell's record."""


class AppliedShift(Document):
    """A shift of the images that a model is measured on.

    Attributes:
        name: its name in the data set.
        level: its strength.
        title: what tables call it.
        version: text that changes with what the shift does to an image.
    """

    name: Text
    level: float = Field(allow_inf_nan=False)
    title: Text
    version: Text


class EvaluationRecord(File, Measured):
    """Record of an evaluation of a cell's trained model, on its own images or on shifted copies.

    Attributes:
        address: hash of what was evaluated on what.
        cell: address of the cell.
        model: hash of the file of the trained weights.
        data: data set that it was measured on.
        shift: the shift of the images; null for the images as they are.
        evaluation: images that metrics were measured on.
        predictions: the file of what the model predicts for each image; null for tasks in which an image has no class.
        provenance: where the evaluation comes from.
    """

    address: Address
    cell: Address
    model: Sha256
    data: DataIdentity
    shift: AppliedShift | None
    evaluation: Evaluation
    predictions: Tensors | None
    provenance: Provenance

    @model_validator(mode="after")
    def _of_its_address(self) -> EvaluationRecord:
        if self.address != evaluation_address(self.cell, self.model, self.data, self.evaluation.split, self.shift):
            raise ValueError("changed since it was written")
        return self


def evaluation_address(cell: str, model: str, data: DataIdentity, split: Split, shift: AppliedShift | None) -> str:
    """Returns the hash of what is evaluated on what.

    Args:
        cell: address of the cell.
        model: hash of its trained weights.
        data: data set, with its fingerprint.
        split: images of it.
        shift: shift of the images; None for the images as they are. Its title decides nothing.
    """
    shifted = shift and {"name": shift.name, "level": shift.level, "version": shift.version}
    return address_of({"cell": cell, "model": model, "data": data, "split": split, "shift": shifted})


def evaluation_name(address: str) -> str:
    """Returns the beginning of the names of an evaluation's files."""
    return address[:FOLDER_DIGITS]
