"""plans/*.json: what one run intended, so that a report knows what is missing and needs no plugin to say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from learngene_bench.config.grid import Axis
from learngene_bench.schema.base import Address, Amount, Document, File, Text, Time
from learngene_bench.schema.constants import FOLDER_DIGITS, QUICK_RUNS, StageKind
from learngene_bench.schema.seeds import CrossedSeeds
from learngene_bench.schema.subject import PlannedCell, Setting, UnsupportedSubject
from learngene_bench.schema.sweep import Sweep
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import address_of


class PlannedStage(Document):
    """A stage of a plan.

    Attributes:
        address: its address.
        kind: its kind.
        label: what a person calls it.
        inputs: addresses of the stages that it needs, by role.
        flops: estimated floating-point operations; 0 where nobody can tell beforehand.
    """

    address: Address
    kind: StageKind
    label: Text
    inputs: dict[str, Address]
    flops: Amount


class Manifest(File, Setting):
    """The intention of one run. Cells of several manifests with one setting and grid belong into one table.

    Attributes:
        protocol: version of the suite's protocol.
        grid: name of the grid.
        axis: what the columns differ in.
        title: title of the grid.
        cells: every cell.
        unsupported: the cells that cannot exist.
        methods: names of the methods, in the order of the rows within their groups.
        references: names of the methods whose final results the others are to reach.
        stages: every stage that the cells need, inputs first.
        created: time at which the plan was made.
        command: the command, word by word.
        folder: folder that the command was typed in; null where that was left out for publication.
        sweep: the sweep that the plan is a part of; absent for other plans.
        crossed: numbers of seeds, where every gene seed meets every target seed; absent for other plans.
    """

    protocol: int
    grid: Text
    axis: Axis
    title: Text
    cells: tuple[PlannedCell, ...]
    unsupported: tuple[UnsupportedSubject, ...]
    methods: tuple[Text, ...]
    references: tuple[Text, ...]
    stages: tuple[PlannedStage, ...]
    created: Time
    command: tuple[Text, ...]
    folder: str | None = None
    sweep: Sweep | None = Field(None, exclude_if=lambda sweep: sweep is None)
    crossed: CrossedSeeds | None = Field(None, exclude_if=lambda seeds: seeds is None)

    @property
    def file_name(self) -> str:
        """Name of the file: a hash of what is intended, whoever intends it, when and where."""
        intended = self.model_dump(mode="json", exclude={"created", "command", "folder"})
        return f"{address_of(intended)[:FOLDER_DIGITS]}.json"


def unless_quick(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Returns the plans of ordinary runs; those of quick ones if there are no others."""
    return [manifest for manifest in manifests if not manifest.is_quick] or list(manifests)


def only_quick_runs(folder: Path) -> str:
    """Returns a hint for someone who looks for the results of `--quick` where those of other runs are."""
    beside = folder.with_name(QUICK_RUNS)
    return f"; quick runs are in {beside}" if folder != beside and beside.is_dir() else ""


def nothing_in(folder: Path, what: str) -> UserError:
    """Makes the error for a runs folder without plans or cells."""
    return UserError(f"{folder}: no {what} here (lgbench run --runs {folder} makes some{only_quick_runs(folder)})")
