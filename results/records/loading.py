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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from learngene_bench.results.records.fields import Fields, read
from learngene_bench.results.records.types import (
    AXES,
    FOLDER_DIGITS,
    GROUPS,
    METRICS,
    PHASES,
    Cell,
    Cost,
    Dash,
    EqualBudget,
    Failure,
    Manifest,
    Record,
    Results,
    Subject,
)
from learngene_bench.util.errors import DamagedFile, UserError

SCHEMA_VERSION = 1

_Item = TypeVar("_Item")


def load(runs: Sequence[Path]) -> Results:
    """Reads runs folders into one set of results.

    Raises:
        UserError: a folder that is not there, is no runs folder, or was written by another version.
        DamagedFile: a file that no longer reads as what it was written as, or two that contradict each other.
    """
    records: dict[str, Record] = {}
    failures: dict[str, Failure] = {}
    gene_bytes: dict[str, int] = {}
    manifests: list[Manifest] = []
    for folder in runs:
        if not folder.is_dir():
            raise UserError(f"no runs folder {folder}: give the folder that `lgbench run` wrote to")
        if not (folder / "cell").is_dir() and not (folder / "plans").is_dir():
            raise UserError(f"{folder} is no runs folder: it has neither cell/ nor plans/, which `lgbench run` writes")
        for path in _entries(folder / "cell"):
            if record := _read(path / "result.json", _record):
                known = records.setdefault(path.name, record)
                # repr, because a NaN that was read twice is not equal to itself
                if repr(known.metrics) != repr(record.metrics):
                    raise DamagedFile(
                        f"{known.path} and {record.path} give different metrics for one cell: "
                        "delete the folder of the wrong one"
                    )
            elif failure := _read(path / "failed.json", _failure):
                failures.setdefault(path.name, failure)
        for path in [*_entries(folder / "gene"), *_entries(folder / "ancestor")]:
            if not (path / "result.json").exists() and (failure := _read(path / "failed.json", _failure)):
                failures.setdefault(path.name, failure)
        for path in _entries(folder / "gene"):
            if size := _size(path / "tensors.safetensors") or _read(path / "result.json", _recorded_size):
                gene_bytes[path.name] = size
        plans = [path for path in _entries(folder / "plans") if path.suffix == ".json"]
        manifests += filter(None, (_read(path, _manifest) for path in plans))
    manifests.sort(key=lambda manifest: (manifest.created, manifest.path.name))
    _check_agreement(records, manifests)
    inputs = {name: needed for manifest in manifests for name, needed in manifest.inputs.items()}
    return Results(records, failures, tuple(manifests), inputs, gene_bytes)


def _entries(folder: Path) -> list[Path]:
    """What the folder holds, by name; nothing if it does not exist."""
    if not folder.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def _size(path: Path) -> int | None:
    """Of a file, in bytes; None if there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _recorded_size(path: Path, fields: Fields) -> int | None:
    """As the record of a gene has it; earlier versions wrote none."""
    tensors = fields.fields("tensors")
    return None if tensors.scalars().get("bytes") is None else int(tensors.amount("bytes"))


def _read(path: Path, parse: Callable[[Path, Fields], _Item]) -> _Item | None:
    """The parsed file; None if there is none, as in the folder of a cell that still runs."""
    try:
        return parse(path, read(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        what = "it" if path.parent.name == "plans" else f"the folder {path.parent}"
        raise DamagedFile(f"{path} is damaged ({error}): delete {what} and run again") from None


def _record(path: Path, fields: Fields) -> Record:
    _check_schema(path, fields)
    address = fields.text("address")
    if not address.startswith(path.parent.name):
        raise ValueError(f"it holds the cell {address[:FOLDER_DIGITS]}, not that of its folder")
    metrics, cost = fields.fields("metrics"), fields.fields("cost")
    gene = fields.fields("inputs").scalars().get("gene")
    return Record(
        path=path,
        cell=_cell(address, fields.fields("cell"), details=fields),
        protocol=fields.whole("protocol"),
        preset=fields.text("preset"),
        setting=fields.text("setting"),
        setting_description=fields.text("setting_description"),
        metrics={name: metrics.number(name) for name in METRICS},
        cost={phase: _cost(cost.fields(phase)) for phase in PHASES},
        test_images=fields.fields("evaluation").whole("images"),
        equal_budget=_equal_budget(fields),
        gene=None if gene is None else str(gene)[:FOLDER_DIGITS],
        initial_sha256=fields.fields("initial_weights").text("sha256"),
        model_sha256=fields.fields("model").text("sha256"),
    )


def _failure(path: Path, fields: Fields) -> Failure:
    return Failure(path, fields.text("label"), fields.text("error"))


def _manifest(path: Path, fields: Fields) -> Manifest:
    _check_schema(path, fields)
    return Manifest(
        path=path,
        protocol=fields.whole("protocol"),
        created=fields.text("created"),
        preset=fields.text("preset"),
        grid=fields.text("grid"),
        axis=fields.choice("axis", AXES),
        setting=fields.text("setting"),
        setting_description=fields.text("setting_description"),
        equal_budget=_equal_budget(fields),
        cells=tuple(_cell(cell.text("address"), cell, details=cell) for cell in fields.objects("cells")),
        dashes=tuple(Dash(_subject(dash), dash.text("reason")) for dash in fields.objects("dashes")),
        methods=tuple(fields.texts("methods")),
        inputs={
            stage.text("address")[:FOLDER_DIGITS]: tuple(
                str(address)[:FOLDER_DIGITS] for address in stage.fields("inputs").scalars().values()
            )
            for stage in fields.objects("stages")
        },
    )


def _cell(address: str, fields: Fields, details: Fields) -> Cell:
    """A cell; records keep its parameter counts and epochs (`details`) beside it, manifests within it."""
    parameters = details.fields("parameters")
    return Cell(
        address=address,
        subject=_subject(fields),
        source=fields.text("source"),
        seed=fields.whole("seed"),
        stored_parameters=parameters.whole("stored"),
        model_parameters=parameters.whole("model"),
        prepare_epochs=details.amount_or_none("prepare_epochs"),
    )


def _subject(fields: Fields) -> Subject:
    target = fields.fields("target")
    target.whole("depth")
    target.whole("width")
    return Subject(
        method=fields.text("method"),
        variant=fields.text("variant"),
        title=fields.text("title"),
        group=fields.choice("group", GROUPS),
        size=fields.text("size"),
        task=fields.text("task"),
        target=target.scalars(),
    )


def _equal_budget(fields: Fields) -> EqualBudget | None:
    """Null where every method tunes alike, whatever it spent on initializing; earlier versions wrote no such key."""
    budget = fields.fields_or_none("equal_budget")
    if budget is None:
        return None
    if budget.text("of") == fields.text("setting"):
        raise ValueError("'equal_budget.of' is its own setting")
    return EqualBudget(budget.whole("iterations"), budget.text("of"))


def _cost(fields: Fields) -> Cost:
    return Cost(*(fields.amount(name) for name in ("epochs", "iterations", "images", "flops", "seconds")))


def _check_schema(path: Path, fields: Fields) -> None:
    version = fields.whole("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version}, and this learngene-bench reads version {SCHEMA_VERSION}: "
            "use the version that wrote it"
        )


def _check_agreement(records: Mapping[str, Record], manifests: Sequence[Manifest]) -> None:
    """An address stands for one cell; a record that says otherwise than the plan was changed by hand."""
    for manifest in manifests:
        for cell in manifest.cells:
            record = records.get(cell.folder)
            if record and (record.protocol, _identity(record.cell)) != (manifest.protocol, _identity(cell)):
                raise DamagedFile(
                    f"{record.path} is not the cell that {manifest.path} planned under this address: "
                    f"delete the folder {record.path.parent} and run again"
                )


def _identity(cell: Cell) -> tuple[object, ...]:
    """What the address decides; names of sizes, titles and variants may differ between presets of the same content."""
    return cell.address, cell.subject.method, cell.subject.target, cell.seed
