"""Chooses the cells to look at, and names them so that they can be told apart. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from learngene_bench.contracts.family import ModelSpec, spec_from_dict
from learngene_bench.runs.lookup import cell_labels, label_fits
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import UserError, nearest

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
        root, place = self.runs.root, f"reruns/{self.address[:20]}"
        return f'`lgbench rerun "{self.full_label}" {root}` computes it again, for `lgbench analyze --runs {place}`'

    def check_files(self, weights: Sequence[str]) -> None:
        """Raises `UserError` if what its model is read or made from is not there.

        Args:
            weights: "initial" or "tuned", or both.
        """
        if "tuned" in weights:
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
    """Finds the finished cells that the queries mean, in the order of the queries.

    Args:
        queries: each the beginning of an address, or words of labels in their order; all cells if there are none.
        most: how many may be meant.

    Raises:
        UserError: nothing fits a query, what fits is not done, or too much does.
    """
    labels = cell_labels(runs)
    chosen: dict[str, None] = {}
    for query in queries or [""]:
        fitting = [address for address, label in labels.items() if label_fits(query, address, label)]
        if not fitting:
            raise UserError(_no_cell(query, labels))
        done = [address for address in fitting if runs.folder("cell", address).state() is State.DONE]
        if not done:
            state = runs.folder("cell", fitting[0]).state()
            raise UserError(f"{labels[fitting[0]]}: not done ({state}), so there is no model to look at yet")
        chosen.update(dict.fromkeys(sorted(done, key=lambda address: _order(labels[address]))))
    if len(chosen) > most:
        names = "; ".join(f'"{labels[address]}"' for address in list(chosen)[:SHOWN])
        room = f"at most {most} fit beside each other" if most > 1 else "one is needed"
        raise UserError(
            f"{len(chosen)} cells are meant, {room}: choose by words of their labels, each choice in quotes (there are "
            f"{names}{', ...' if len(chosen) > SHOWN else ''})"
        )
    return _named([_subject(runs, address) for address in chosen])


def _order(label: str) -> tuple[tuple[int, str], ...]:
    """Makes a sort key that compares numbers by value."""
    return tuple((int(word), "") if word.isdigit() else (0, word) for word in label.split())


def _no_cell(query: str, labels: Mapping[str, str]) -> str:
    near = nearest(query, labels.values())
    hint = f"did you mean {' or '.join(repr(name) for name in near)}?" if near else "there are "
    listing = "" if near else "; ".join(list(labels.values())[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
    return f"no cell fits {query!r}: {hint}{listing}"


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
