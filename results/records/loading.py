"""Reads runs folders and leaderboards into records, failures and manifests.

A runs folder names the folder of a stage by the first 20 digits of its address:

    cell/<folder>/result.json                      the record of a cell that is done
    {cell,gene,ancestor}/<folder>/failed.json      the error of a stage whose last attempt failed
    gene/<folder>/tensors.safetensors              tensors that a method stores once for many targets; its size is read
    plans/<folder>.json                            a manifest: what one `lgbench run` intended

A leaderboard holds the same in records.jsonl and plans.jsonl, a line each, and in reruns.jsonl who has computed cells
once more.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from learngene_bench.results.records.types import Record, Results
from learngene_bench.schema.base import damaged, read_if_there
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.leaderboard import PLANS, RECORDS, PublishedStage, is_leaderboard, read_plans, read_stages
from learngene_bench.schema.manifest import Manifest, only_quick_runs
from learngene_bench.schema.record import CellRecord, CellResult, Failure, GeneRecord
from learngene_bench.schema.rerun import Rerun, read_reruns
from learngene_bench.schema.subject import CellFacts
from learngene_bench.util.errors import DamagedFile, UserError


def load(folders: Sequence[Path]) -> Results:
    """Reads runs folders and leaderboards into one set of results.

    Raises:
        UserError: a folder does not exist, is neither of the two, or was written by another version.
        DamagedFile: a file no longer reads as what it was written as, or two files contradict each other.
    """
    found = _Collection()
    for folder in folders:
        if not folder.is_dir():
            hint = only_quick_runs(folder)
            raise UserError(f"no runs folder {folder}: give the folder that `lgbench run` wrote to{hint}")
        if is_leaderboard(folder):
            found.add_stages(folder / RECORDS, read_stages(folder).values())
            found.manifests += [(folder / PLANS, line.plan) for line in read_plans(folder).values()]
            found.add_reruns(read_reruns(folder))
        elif (folder / "cell").is_dir() or (folder / "plans").is_dir():
            found.add_runs(folder)
        else:
            raise UserError(
                f"{folder} is no runs folder: it has neither cell/ nor plans/, which `lgbench run` writes, "
                f"nor the {RECORDS} of a leaderboard"
            )
    return found.results()


def results_of(
    stages: Iterable[PublishedStage], manifests: Iterable[Manifest], reruns: Iterable[Rerun] = ()
) -> Results:
    """Returns the results that a leaderboard of these stages, manifests and re-runs holds."""
    found = _Collection()
    found.add_stages(Path(RECORDS), stages)
    found.manifests = [(Path(PLANS), manifest) for manifest in manifests]
    found.add_reruns(reruns)
    return found.results()


class _Collection:
    """Everything read so far; records and failures by the name of their folder in a runs folder."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.failures: dict[str, Failure] = {}
        self.gene_bytes: dict[str, int] = {}
        self.manifests: list[tuple[Path, Manifest]] = []
        self.reruns: dict[str, list[Rerun]] = {}

    def add_stages(self, path: Path, stages: Iterable[PublishedStage]) -> None:
        for stage in stages:
            name = stage.address[:FOLDER_DIGITS]
            if isinstance(stage.record, CellRecord):
                self._add_record(name, Record(path, stage.record))
            elif isinstance(stage.record, GeneRecord):
                self.gene_bytes.setdefault(name, stage.record.tensors.bytes)
            elif stage.failure:
                self.failures.setdefault(name, stage.failure)

    def add_reruns(self, reruns: Iterable[Rerun]) -> None:
        for line in sorted(reruns, key=lambda line: (line.date, line.by)):
            self.reruns.setdefault(line.address[:FOLDER_DIGITS], []).append(line)

    def add_runs(self, folder: Path) -> None:
        for path in _entries(folder / "cell"):
            if result := read_if_there(CellResult, path / "result.json"):
                if not result.address.startswith(path.name):
                    problem = f"it holds the cell {result.address[:FOLDER_DIGITS]}, not that of its folder"
                    raise damaged(path / "result.json", problem)
                self._add_record(path.name, Record(path / "result.json", result))
            elif failure := read_if_there(Failure, path / "failed.json"):
                self.failures.setdefault(path.name, failure)
        for path in [*_entries(folder / "gene"), *_entries(folder / "ancestor")]:
            if not (path / "result.json").exists() and (failure := read_if_there(Failure, path / "failed.json")):
                self.failures.setdefault(path.name, failure)
        for path in _entries(folder / "gene"):
            if size := _size(path / "tensors.safetensors"):
                self.gene_bytes[path.name] = size
            elif gene := read_if_there(GeneRecord, path / "result.json"):
                self.gene_bytes[path.name] = gene.tensors.bytes
        for path in _entries(folder / "plans"):
            if path.suffix == ".json" and (manifest := read_if_there(Manifest, path)):
                self.manifests.append((path, manifest))

    def _add_record(self, name: str, record: Record) -> None:
        known = self.records.setdefault(name, record)
        common = known.metrics.keys() & record.metrics.keys()
        # repr, because a NaN that was read twice is not equal to itself
        if any(repr(known.metrics[metric]) != repr(record.metrics[metric]) for metric in common):
            raise DamagedFile(
                f"{known.path} and {record.path} give different metrics for one cell: "
                "move the folder of the wrong one away"
            )

    def results(self) -> Results:
        """Returns everything, manifests from old to new, after checking that records and manifests agree."""
        seconds = Counter(manifest.created for _, manifest in self.manifests)

        def age(found: tuple[Path, Manifest]) -> tuple[str, str]:
            # A name is a hash of the whole plan: only those of the same second need it.
            return found[1].created, found[1].file_name if seconds[found[1].created] > 1 else ""

        ordered = sorted(self.manifests, key=age)
        for path, manifest in ordered:
            for cell in manifest.cells:
                record = self.records.get(cell.folder)
                if record and (record.result.protocol, record.address, _identity(record.cell)) != (
                    manifest.protocol,
                    cell.address,
                    _identity(cell),
                ):
                    raise DamagedFile(
                        f"{record.path} is not the cell that {path} planned under this address: "
                        f"move the folder {record.path.parent} away and run again"
                    )
        inputs = {
            stage.address[:FOLDER_DIGITS]: tuple(address[:FOLDER_DIGITS] for address in stage.inputs.values())
            for _, manifest in ordered
            for stage in manifest.stages
        }
        manifests = tuple(manifest for _, manifest in ordered)
        reruns = {name: tuple(lines) for name, lines in self.reruns.items()}
        return Results(self.records, self.failures, manifests, inputs, self.gene_bytes, reruns).unless_quick()


def _entries(folder: Path) -> list[Path]:
    """Lists a folder by name; nothing if it does not exist."""
    if not folder.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def _size(path: Path) -> int | None:
    """Returns the size of a file in bytes; None if there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(cell: CellFacts) -> tuple[object, ...]:
    """Returns what the address decides; presets of the same content may name sizes, titles and variants differently."""
    return cell.method, cell.target, cell.seeds
