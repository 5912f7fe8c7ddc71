"""Chooses the cells to look at, and names them so that they can be told apart. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from learngene_bench.contracts.family import ModelSpec, spec_from_dict
from learngene_bench.runs.listing import find_finished
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import UserError

MOST = 8
"""Largest number of cells side by side; more would be too small to see."""
SHOWN = 6
"""Largest number of cells that an error names."""


@dataclass(frozen=True)
class Subject:
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

    @cached_property
    def target(self) -> ModelSpec:
        return spec_from_dict(self.record.cell.target)

    @property
    def again(self) -> str:
        """Advice on how to make missing files again."""
        root, place = self.runs.root, f"reruns/{self.address[:FOLDER_DIGITS]}"
        return (
            f'`lgbench rerun "{self.full_label}" --runs {root}` computes it again, for `lgbench analyze --runs {place}`'
        )

    def check_files(self, weights: Sequence[str]) -> None:
        """Raises `UserError` if what its model is read or made from is not there.

        Args:
            weights: "initial" or "finetuned", or both.
        """
        if "finetuned" in weights:
            kept = self.runs.folder("cell", self.address).model
            if not kept.is_file():
                raise UserError(f"{self.full_label}: {kept} is not there, as in a leaderboard; {self.again}")
        if "initial" in weights:
            for kind, address in self.stage.inputs.items():
                kept = self.runs.folder(kind, address).tensors
                if not kept.is_file():
                    raise UserError(
                        f"{self.full_label}: it was initialized from a {kind} whose file is gone ({kept}); {self.again}"
                    )


def choose(runs: Runs, queries: Sequence[str], most: int = MOST) -> list[Subject]:
    """Finds finished cells, in the order of the queries.

    Args:
        queries: see `runs.lookup`; all cells if there are none.
        most: number of cells that may be found.

    Raises:
        UserError: nothing fits a query, what fits is not finished, or too much does.
    """
    found = {folder.address: None for query in queries or [""] for folder in find_finished(runs, query)}
    chosen = [_subject(runs, address) for address in found]
    if len(chosen) > most:
        names = "; ".join(f'"{subject.full_label}"' for subject in chosen[:SHOWN])
        room = f"at most {most} fit beside each other" if most > 1 else "one is needed"
        raise UserError(
            f"{len(chosen)} cells fit, {room}: name more of their fields, each cell in quotes (there are {names}"
            f"{', ...' if len(chosen) > SHOWN else ''})"
        )
    return _named(chosen)


def _subject(runs: Runs, address: str) -> Subject:
    folder = runs.folder("cell", address)
    return Subject(runs, address, folder.read_config(), folder.read_record(CellRecord), "")


def _named(subjects: Sequence[Subject]) -> list[Subject]:
    """Labels the cells: the method's title, and those of size, depth, width, task and seed that differ."""
    titles, facts = [], []
    for subject in subjects:
        cell = subject.record.cell
        titles.append(f"{cell.title}{f' ({cell.variant})' if cell.variant else ''}")
        facts.append(
            {
                "task": cell.task,
                "size": cell.size,
                "depth": f"depth {subject.target.depth}",
                "width": f"width {subject.target.width}",
                "seed": f"seed {cell.seed}",
            }
        )
    differ = [name for name in ("task", "size", "depth", "width", "seed") if len({fact[name] for fact in facts}) > 1]
    if "size" in differ:
        differ = [name for name in differ if name != "width"]  # sizes are widths by name
    names = [", ".join([title, *(fact[name] for name in differ)]) for title, fact in zip(titles, facts, strict=True)]
    names = [
        name if names.count(name) == 1 else f"{name}, {subject.address[:4]}"
        for name, subject in zip(names, subjects, strict=True)
    ]
    return [
        Subject(subject.runs, subject.address, subject.stage, subject.record, name)
        for subject, name in zip(subjects, names, strict=True)
    ]
