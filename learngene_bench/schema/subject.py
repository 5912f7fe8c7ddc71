"""Subjects and cells: a method on a target and a task; with a seed it is a cell; also cells that cannot exist."""

from __future__ import annotations

from pydantic import Field, model_validator

from learngene_bench.config.preset import QUICK
from learngene_bench.schema.base import Address, Amount, Document, ModelDescription, Scalar, Text
from learngene_bench.schema.constants import FOLDER_DIGITS, Group


class MethodVariant(Document):
    """A method with its options: one row of a table.

    Attributes:
        method: name of the method.
        version: version of the method; for a plugin file with the beginning of its hash.
        variant: options and recipe overrides that set it apart from the method's default.
        title: what tables call the method.
        group: group of the method.
    """

    method: Text
    version: Text
    variant: Text
    title: Text
    group: Group


class Subject(MethodVariant):
    """A method, with its options, on a target and a task; seeds apart.

    Attributes:
        size: name of the preset's size that the target belongs to.
        task: task that the target is fine-tuned and measured on.
        source: task that genes and ancestors are made on.
        target: the model that is initialized.
        horizon: length of fine-tuning over the setting's own.
        share: percentage of the task's training images that it is fine-tuned on.
    """

    size: Text
    task: Text
    source: Text
    target: ModelDescription
    horizon: float = Field(1.0, exclude_if=lambda factor: factor == 1)
    share: float = Field(100.0, exclude_if=lambda percent: percent == 100)

    def along(self, axis: str) -> Scalar:
        """Returns the value on an axis of a grid; None if the target has no such number."""
        if axis in ("task", "horizon", "share"):
            value: Scalar = getattr(self, axis)
            return value
        if axis == "depth and width":
            return f"{self.target['depth']} × {self.target['width']}"
        return self.target.get(axis)


class UnsupportedSubject(Subject):
    """A subject that its method does not support: a dash in tables.

    Attributes:
        reason: why it cannot exist.
    """

    reason: Text


class Parameters(Document):
    """Numbers of parameters.

    Attributes:
        stored: what the method stores and the target inherits ("Para." of the paper).
        model: all of the target.
    """

    stored: int
    model: int


class CellFacts(Subject):
    """One measurement: a subject and a seed, or two.

    Attributes:
        seed: seed of the initialization and the fine-tuning; also of the gene, unless `gene_seed` is there.
        gene_seed: seed of the gene and of its ancestors, where that is another one.
        parameters: numbers of parameters.
        prepare_epochs: epochs that preparing the gene costs ("Epoch" of the paper); null where nothing is prepared.
    """

    seed: int
    gene_seed: int | None = Field(None, exclude_if=lambda seed: seed is None)
    parameters: Parameters
    prepare_epochs: Amount | None

    @property
    def seeds(self) -> tuple[int, int]:
        """Seeds of the gene and of the target."""
        return self.seed if self.gene_seed is None else self.gene_seed, self.seed


class PlannedCell(CellFacts):
    """A cell of a plan.

    Attributes:
        address: address of its stage.
    """

    address: Address

    @property
    def folder(self) -> str:
        """Name of the folder that the cell's files lie in."""
        return self.address[:FOLDER_DIGITS]


class EqualBudget(Document):
    """A budget of training that is the same for every method: initializing and fine-tuning together.

    Attributes:
        images: training images, an image counted each time it is seen; the most, if sizes or tasks differ.
        iterations: the budget of protocols 1 and 2, which counted iterations.
        of: the setting that is the same but for that; there, what a method trains in initialization comes on top.
    """

    images: int | None = Field(None, exclude_if=lambda count: count is None)
    iterations: int | None = Field(None, exclude_if=lambda count: count is None)
    of: Address

    @model_validator(mode="after")
    def _counts_one_thing(self) -> EqualBudget:
        if (self.images is None) == (self.iterations is None):
            raise ValueError("give either images or iterations")
        return self

    @property
    def amount(self) -> int:
        """Number of images; of protocols 1 and 2, number of iterations."""
        return (self.images if self.iterations is None else self.iterations) or 0

    @property
    def unit(self) -> str:
        """Name of the things that are counted."""
        return "images" if self.iterations is None else "iterations"

    @property
    def text(self) -> str:
        """The budget as tables print it."""
        return f"{self.amount:,} {self.unit}"


class Setting(Document):
    """Properties that the cells of one table share, whatever their method and target.

    Attributes:
        preset: name of the preset.
        setting: hash of all that is shared; cells of two settings never stand in one table.
        setting_description: the preset and what the user changed, in words.
        equal_budget: the budget, if it is the same for every method.
    """

    preset: Text
    setting: Address
    setting_description: Text
    equal_budget: EqualBudget | None = None

    @property
    def is_quick(self) -> bool:
        """True for a run of a few steps (`--quick`), whose numbers mean nothing."""
        return self.preset.endswith(QUICK)

    @model_validator(mode="after")
    def _budget_of_another_setting(self) -> Setting:
        if self.equal_budget and self.equal_budget.of == self.setting:
            raise ValueError("'equal_budget.of' is its own setting")
        return self


class CellDescription(Setting):
    """Description of a cell in its record, beside the numbers.

    Attributes:
        cell: the cell.
    """

    cell: CellFacts
