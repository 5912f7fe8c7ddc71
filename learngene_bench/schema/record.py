"""result.json and failed.json: what became of a stage."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from learngene_bench.config.preset import Split
from learngene_bench.schema.base import Address, Amount, Document, File, Sha256, Text
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.cost import AncestorCost, CellCost, GeneCost
from learngene_bench.schema.metric import CurvePoint, Measured
from learngene_bench.schema.provenance import Provenance
from learngene_bench.schema.subject import CellDescription


class Result(File):
    """Common part of the records of all stages.

    Attributes:
        protocol: version of the suite's protocol.
        address: address of the stage.
        inputs: addresses of the stages that it needed, by role.
    """

    protocol: int
    address: Address
    inputs: dict[str, Address]


class Tensors(Document):
    """A file of tensors, or of predictions, beside a record.

    Attributes:
        sha256: its hash.
        bytes: its size.
    """

    sha256: Sha256
    bytes: int


class Evaluation(Document):
    """Images that metrics were measured on.

    Attributes:
        split: which split.
        images: how many images.
        how: how images are looked at, where there are several ways, such as windows; absent where there are none.
        views: number of images in a row that show one thing, so that they are not independent; absent where it is 1.
    """

    split: Split
    images: int
    how: Text = Field("", exclude_if=lambda text: not text)
    views: int = Field(1, ge=1, exclude_if=lambda views: views == 1)

    @model_validator(mode="after")
    def _things_are_seen_alike(self) -> Evaluation:
        if self.images % self.views:
            raise ValueError(f"{self.images} images are no whole number of things that {self.views} images show")
        return self


class AncestorRecord(Result, Measured):
    """Record of an ancestor.

    Attributes:
        evaluation: images that metrics were measured on; null in records of protocol 1, which did not count them.
        curve: learning curve; empty where it was loaded.
        cost: what training it cost.
        forward_flops: floating-point operations of one image's forward pass.
        tensors: the file of its weights.
        warning: reason to doubt the ancestor, and so all that is made of it; absent where there is none.
        provenance: where the record comes from.
        migrated_from: address under an earlier protocol, where the record was taken along from it.
    """

    kind: Literal["ancestor"] = "ancestor"
    evaluation: Evaluation | None = None
    curve: tuple[CurvePoint, ...]
    cost: AncestorCost
    forward_flops: float
    tensors: Tensors
    warning: Text = Field("", exclude_if=lambda text: not text)
    provenance: Provenance
    migrated_from: Address | None = None


class GeneRecord(Result):
    """Record of a gene.

    Attributes:
        curve: learning curves, by recipe.
        cost: what it cost.
        tensors: the file of its tensors.
        provenance: where the record comes from.
        migrated_from: address under an earlier protocol, where the record was taken along from it.
    """

    kind: Literal["gene"] = "gene"
    curve: dict[str, tuple[CurvePoint, ...]]
    cost: GeneCost
    tensors: Tensors
    provenance: Provenance
    migrated_from: Address | None = None


class InitialWeights(Document):
    """The target's weights as initialized.

    Attributes:
        sha256: hash of all of them, by which two records can be told to start alike.
    """

    sha256: Sha256


class SourceComparison(Document):
    """Outputs of the target as initialized beside those of its source model, on the same validation images.

    Attributes:
        images: how many images.
        difference: largest absolute difference of one output.
        magnitude: largest absolute output of the source model.
    """

    images: int
    difference: Amount
    magnitude: Amount

    @property
    def relative(self) -> float:
        """The difference over the magnitude."""
        return self.difference / self.magnitude if self.magnitude else self.difference


class View(Document):
    """The part of an image of any size that a model was measured on: resized (bicubic), then cut to the centre square.

    Attributes:
        shorter_side: what the shorter side is resized to, pixels.
        side: side of the square, pixels.
        crop: side of the square over the shorter side that it is cut from (`crop_pct` of timm).
    """

    shorter_side: int
    side: int
    crop: float


class FinetunedModel(Document):
    """The file of the target's weights after fine-tuning.

    Attributes:
        sha256: its hash.
        mean: mean of each channel that images are normalised with.
        std: standard deviation of each channel that images are normalised with.
        decoder: hash of the file of what the task kind added to the model; absent if it added nothing.
        class_names: names of the classes in the order of the outputs; absent where they are only numbers.
        view: part of an image that it was measured on; absent where images are squares already.
    """

    sha256: Sha256
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decoder: Sha256 | None = Field(None, exclude_if=lambda found: found is None)
    class_names: tuple[Text, ...] = Field((), exclude_if=lambda names: not names)
    view: View | None = Field(None, exclude_if=lambda view: view is None)


class CellResult(Result, CellDescription, Measured):
    """The part of a cell's record that tables are made of. Reading it leaves out the rest, which is ten times as long.

    Attributes:
        initial_metrics: value by metric before fine-tuning.
        evaluation: images that metrics were measured on.
        cost: what every phase cost.
        initial_weights: the weights as initialized.
        source_comparison: outputs beside those of the grid's source model; absent where the grid has none, or the
            target takes nothing from it.
        model: the weights after fine-tuning.
        predictions: the file of what it predicts for each image; absent in records of earlier versions, and for tasks
            in which an image has no class.
    """

    model_config = ConfigDict(extra="ignore")

    kind: Literal["cell"] = "cell"
    initial_metrics: dict[str, float]
    evaluation: Evaluation
    cost: CellCost
    initial_weights: InitialWeights
    source_comparison: SourceComparison | None = Field(None, exclude_if=lambda found: found is None)
    model: FinetunedModel
    predictions: Tensors | None = Field(None, exclude_if=lambda found: found is None)


class CellRecord(CellResult):
    """Record of a cell.

    Attributes:
        curve: learning curve of the fine-tuning; its first point is of the target as initialized.
        base_tensors: names of the tensors that the method left at their base initialization; null if not recorded.
        gene_sha256: hash of the gene's file that the target was initialized from; absent without a gene, and in records
            of earlier versions.
        class_metrics: value of each class by name, by metric, after training; null for a class that does not occur.
            Absent where no metric has a value for each class.
        provenance: where the record comes from.
        migrated_from: address under an earlier protocol, where the record was taken along from it.
    """

    model_config = ConfigDict(extra="forbid")

    curve: tuple[CurvePoint, ...]
    base_tensors: tuple[Text, ...] | None = None
    gene_sha256: Sha256 | None = Field(None, exclude_if=lambda found: found is None)
    class_metrics: dict[str, dict[str, float | None]] | None = Field(None, exclude_if=lambda values: values is None)
    provenance: Provenance
    migrated_from: Address | None = None


Record: TypeAlias = AncestorRecord | GeneRecord | CellRecord
RECORDS: dict[StageKind, type[AncestorRecord] | type[GeneRecord] | type[CellRecord]] = {
    "ancestor": AncestorRecord,
    "gene": GeneRecord,
    "cell": CellRecord,
}
"""The type of the record of each kind of stage."""


class Failure(File):
    """failed.json: a stage whose last attempt went wrong.

    Attributes:
        address: address of the stage.
        label: what a person calls the stage.
        error: what went wrong, in one line.
        traceback: where, or what the process printed last; null where only the line was kept.
        died: true if the process died, for a reason that may lie outside of the stage, such as little memory.
    """

    address: Address
    label: Text
    error: Text
    traceback: str | None = None
    died: bool = False
