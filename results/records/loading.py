"""Runs folders read into typed records, failures and manifests.

The files, with folders named by the first 20 digits of an address:

    cell/<folder>/result.json                      a record: one cell, done
    {cell,gene,ancestor}/<folder>/failed.json      a cell, or what a cell needs, whose last attempt failed
    gene/<folder>/tensors.safetensors              what a method stores once for many targets: only its size counts here
    gene/<folder>/result.json                      which says it too, where only records were kept
    plans/<folder>.json                            a manifest: what one `lgbench run` intended
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from learngene_bench.results.records.types import Record, Results
from learngene_bench.schema.base import File, damaged, read
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import CellResult, Failure, GeneRecord
from learngene_bench.schema.subject import Cell
from learngene_bench.util.errors import DamagedFile, UserError

_File = TypeVar("_File", bound=File)


def load(runs: Sequence[Path]) -> Results:
    """Reads runs folders into one set of results.

    Raises:
        UserError: a folder that is not there, is no runs folder, or was written by another version.
        DamagedFile: a file that no longer reads as what it was written as, or two that contradict each other.
    """
    records: dict[str, Record] = {}
    failures: dict[str, Failure] = {}
    gene_bytes: dict[str, int] = {}
    manifests: dict[Path, Manifest] = {}
    for folder in runs:
        if not folder.is_dir():
            raise UserError(f"no runs folder {folder}: give the folder that `lgbench run` wrote to")
        if not (folder / "cell").is_dir() and not (folder / "plans").is_dir():
            raise UserError(f"{folder} is no runs folder: it has neither cell/ nor plans/, which `lgbench run` writes")
        for path in _entries(folder / "cell"):
            if record := _record(path / "result.json"):
                known = records.setdefault(path.name, record)
                # repr, because a NaN that was read twice is not equal to itself
                if repr(known.metrics) != repr(record.metrics):
                    raise DamagedFile(
                        f"{known.path} and {record.path} give different metrics for one cell: "
                        "delete the folder of the wrong one"
                    )
            elif failure := _read(Failure, path / "failed.json"):
                failures.setdefault(path.name, failure)
        for path in [*_entries(folder / "gene"), *_entries(folder / "ancestor")]:
            if not (path / "result.json").exists() and (failure := _read(Failure, path / "failed.json")):
                failures.setdefault(path.name, failure)
        for path in _entries(folder / "gene"):
            if size := _size(path / "tensors.safetensors"):
                gene_bytes[path.name] = size
            elif gene := _read(GeneRecord, path / "result.json"):
                gene_bytes[path.name] = gene.tensors.bytes
        for path in _entries(folder / "plans"):
            if path.suffix == ".json" and (manifest := _read(Manifest, path)):
                manifests[path] = manifest
    _check_agreement(records, manifests)
    ordered = sorted(manifests, key=lambda path: (manifests[path].created, path.name))
    inputs = {
        stage.address[:FOLDER_DIGITS]: tuple(address[:FOLDER_DIGITS] for address in stage.inputs.values())
        for path in ordered
        for stage in manifests[path].stages
    }
    return Results(records, failures, tuple(manifests[path] for path in ordered), inputs, gene_bytes)


def _entries(folder: Path) -> list[Path]:
    """What the folder holds, by name; nothing if it does not exist."""
    if not folder.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def _size(path: Path) -> int | None:
    """The size of a file in bytes; None if there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(kind: type[_File], path: Path) -> _File | None:
    """The document in a file; None if there is none, as in the folder of a cell that still runs."""
    try:
        return read(kind, path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _record(path: Path) -> Record | None:
    result = _read(CellResult, path)
    if result is None:
        return None
    if not result.address.startswith(path.parent.name):
        raise damaged(path, f"it holds the cell {result.address[:FOLDER_DIGITS]}, not that of its folder")
    return Record(path, result)


def _check_agreement(records: Mapping[str, Record], manifests: Mapping[Path, Manifest]) -> None:
    """An address stands for one cell; a record that says otherwise than the plan was changed by hand."""
    for path, manifest in manifests.items():
        for cell in manifest.cells:
            record = records.get(cell.folder)
            if record and (record.protocol, record.address, _identity(record.cell)) != (
                manifest.protocol,
                cell.address,
                _identity(cell),
            ):
                raise DamagedFile(
                    f"{record.path} is not the cell that {path} planned under this address: "
                    f"delete the folder {record.path.parent} and run again"
                )


def _identity(cell: Cell) -> tuple[object, ...]:
    """What the address decides; names of sizes, titles and variants may differ between presets of the same content."""
    return cell.method, cell.target, cell.seed
