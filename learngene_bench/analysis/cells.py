"""Chooses the cells to look at, and names them so that they can be told apart. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from learngene_bench.contracts.family import ModelSpec, spec_from_dict
from learngene_bench.models.vit import ViTSpec
from learngene_bench.runs.listing import find_finished
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import UserError

MOST = 8
"""Largest number of cells side by side; more would be too small to see."""
OF_ATTENTION = ("attention-structure", "attention-maps")
"""Kinds of analysis that need the attention of a plain Vision Transformer."""
ANY_FAMILY = ("linear-structure", "copies", "similarity")
"""Kinds of analysis for models of any family."""
OF_PREDICTIONS = ("segmentation",)
"""Kinds of analysis that need what models predict for a task of this kind."""
SHOWN = 6
"""Largest number of cells that an error names."""


@dataclass(frozen=True)
class AnalyzedCell:
    """A finished cell.

    Attributes:
        stage: its configuration.
        record: its record.
        label: what it is called beside the other chosen ones: its method, and what differs between them.
    """

    runs: Runs
    address: str
    stage: StageFile
    record: CellRecord
    label: str

    @property
    def full_label(self) -> str:
        """The cell's name in `lgbench status`."""
        return self.stage.label

    @property
    def group(self) -> str:
        return self.record.cell.group

    @property
    def method(self) -> str:
        return self.record.cell.method

    @property
    def variant(self) -> str:
        """The label, where it says more than the method: cells of a method differ in depth or seed too."""
        return "" if self.label == self.record.cell.title else self.label

    @cached_property
    def target(self) -> ModelSpec:
        return spec_from_dict(self.record.cell.target)

    @property
    def rerun_advice(self) -> str:
        """Advice on how to make missing files again."""
        root, place = self.runs.root, f"reruns/{self.address[:FOLDER_DIGITS]}"
        return (
            f'`lgbench rerun "{self.full_label}" --runs {root}` computes it again, for `lgbench analyze --runs {place}`'
        )

    def check_files(self, weights: Sequence[str]) -> None:
        """Checks that the files are there that its model is read or made from.

        Args:
            weights: "initial" or "finetuned", or both.

        Raises:
            UserError: one is missing; the line says how to make it again.
        """
        if "finetuned" in weights:
            kept = self.runs.folder("cell", self.address).model
            if not kept.is_file():
                raise UserError(f"{self.full_label}: {kept} is not there, as in a leaderboard; {self.rerun_advice}")
        if "initial" in weights and "gene" in self.stage.inputs:
            kept = self.runs.folder("gene", self.stage.inputs["gene"]).tensors
            if not kept.is_file():
                problem = f"it was initialized from a gene whose file is gone ({kept})"
                raise UserError(f"{self.full_label}: {problem}; {self.rerun_advice}")


def check_plain_attention(cells: Sequence[AnalyzedCell], kind: str) -> None:
    """Checks that an analysis of attention can look at these models.

    Raises:
        UserError: one is no plain Vision Transformer; the line says which analyses apply.
    """
    for cell in cells:
        if not isinstance(cell.target, ViTSpec):
            raise UserError(
                f"{cell.full_label}: {kind} is for plain Vision Transformers (family vit), not for the family "
                f"{cell.target.family}, to which {', '.join(ANY_FAMILY[:-1])} and {ANY_FAMILY[-1]} apply"
            )


def choose(runs: Runs, queries: Sequence[str], most: int = MOST) -> list[AnalyzedCell]:
    """Finds finished cells, in the order of the queries.

    Args:
        queries: see `runs.lookup`; all cells if there are none.
        most: number of cells that may be found.

    Raises:
        UserError: nothing fits a query, what fits is not finished, or too much does.
    """
    found = {folder.address: None for query in queries or [""] for folder in find_finished(runs, query)}
    chosen = [_analyzed_cell(runs, address) for address in found]
    if len(chosen) > most:
        names = "; ".join(f'"{cell.full_label}"' for cell in chosen[:SHOWN])
        room = f"at most {most} fit beside each other" if most > 1 else "one is needed"
        raise UserError(
            f"{len(chosen)} cells fit, {room}: name more of their fields, each cell in quotes (there are {names}"
            f"{', ...' if len(chosen) > SHOWN else ''})"
        )
    return _named(chosen)


def _analyzed_cell(runs: Runs, address: str) -> AnalyzedCell:
    folder = runs.folder("cell", address)
    return AnalyzedCell(runs, address, folder.read_config(), folder.read_record(CellRecord), "")


def _named(cells: Sequence[AnalyzedCell]) -> list[AnalyzedCell]:
    """Labels the cells: the method's title, and those of size, depth, width, task and seeds that differ."""
    titles, facts = [], []
    for cell in cells:
        measured = cell.record.cell
        titles.append(f"{measured.title}{f' ({measured.variant})' if measured.variant else ''}")
        facts.append(
            {
                "task": measured.task,
                "size": measured.size,
                "depth": f"depth {cell.target.depth}",
                "width": f"width {cell.target.width}",
                "gene": f"gene {measured.seeds[0]}" if measured.gene_seed is not None else "",
                "seed": f"seed {measured.seed}",
            }
        )
    differ = [name for name in facts[0] if len({fact[name] for fact in facts}) > 1] if facts else []
    if "size" in differ:
        differ = [name for name in differ if name != "width"]  # sizes are widths by name
    names = [
        ", ".join([title, *(fact[name] for name in differ if fact[name])])
        for title, fact in zip(titles, facts, strict=True)
    ]
    names = [
        name if names.count(name) == 1 else f"{name}, {cell.address[:4]}"
        for name, cell in zip(names, cells, strict=True)
    ]
    return [replace(cell, label=name) for cell, name in zip(cells, names, strict=True)]
