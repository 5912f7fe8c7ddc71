"""Collects how results came about: recipes, data, commands, versions and machines of their records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.config.recipe import Recipe
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Results
from learngene_bench.schema.base import read_if_there
from learngene_bench.schema.constants import FOLDER_DIGITS, STAGE_KINDS
from learngene_bench.schema.leaderboard import is_leaderboard, read_stages
from learngene_bench.schema.provenance import Provenance
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import AncestorConfig, CellConfig, GeneConfig, StageFile, TeacherConfig


@dataclass(frozen=True)
class UsedRecipe:
    """One recipe that stages trained by.

    Attributes:
        name: the training: `finetuning`, `condensation`, ...
        settings: its settings by dotted name; those that are zero or not set are left out.
        used_for: what was trained by it: methods, or tasks of targets.
    """

    name: str
    settings: Mapping[str, Any]
    used_for: tuple[str, ...]


@dataclass(frozen=True)
class Origins:
    """Origin of the records of some results.

    Attributes:
        recipes: by name, in the order of their first use.
        data: descriptions of the data sets, by what they are for: the source task or a downstream one.
        machines: number of records by code, versions and hardware, in words.
        commands: number of records by the command that asked for them.
        first: time at which the first record was begun.
        last: time at which the last one was finished.
        measured: numbers of images by split.
    """

    recipes: tuple[UsedRecipe, ...]
    data: Mapping[str, Mapping[str, Any]]
    machines: Mapping[tuple[str, ...], int]
    commands: Mapping[tuple[str, ...], int]
    first: str
    last: str
    measured: Mapping[str, tuple[int, ...]]


def origins(results: Results, folders: Sequence[Path]) -> Origins:
    """Reads how some results came about.

    Args:
        results: what was read of the folders, or a choice of it.
        folders: runs folders and leaderboards.
    """
    records = [details(record) for record in results.records.values()]
    data: dict[str, Mapping[str, Any]] = {}
    machines: dict[tuple[str, ...], int] = {}
    commands: dict[tuple[str, ...], int] = {}
    measured: dict[str, set[int]] = {}
    for record in records:
        found = record.provenance
        data.setdefault(f"{record.cell.source} (source)", found.data)
        if found.task:
            data.setdefault(record.cell.task, found.task.data)
        machine = _machine(found)
        machines[machine] = machines.get(machine, 0) + 1
        commands[found.command] = commands.get(found.command, 0) + 1
        measured.setdefault(f"{record.cell.task}, {record.evaluation.split}", set()).add(record.evaluation.images)
    return Origins(
        recipes=tuple(_recipes(records, _stage_files(folders))),
        data=data,
        machines=machines,
        commands=commands,
        first=min((record.provenance.started for record in records), default=""),
        last=max((record.provenance.finished for record in records), default=""),
        measured={name: tuple(sorted(counts)) for name, counts in sorted(measured.items())},
    )


def _machine(found: Provenance) -> tuple[str, ...]:
    """Returns the code, the versions and the hardware in words."""
    changed = " with uncommitted changes" if found.git.dirty else ""
    code = f"commit {found.git.commit[:12]}{changed}" if found.git.commit else "installed package"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items()))
    hardware = ", ".join(f"{name} {value}" for name, value in found.hardware.items() if value is not None)
    return code, versions, hardware


def _stage_files(folders: Sequence[Path]) -> dict[str, StageFile]:
    """Reads the configurations of all stages, by the name of their folder."""
    files: list[StageFile] = []
    for folder in folders:
        if is_leaderboard(folder):
            files += [stage.config for stage in read_stages(folder).values() if stage.config]
        else:
            paths = [path for kind in STAGE_KINDS for path in sorted((folder / kind).glob("*/config.json"))]
            files += [file for path in paths if (file := read_if_there(StageFile, path))]
    return {file.address[:FOLDER_DIGITS]: file for file in files}


def _recipes(records: Iterable[CellRecord], files: Mapping[str, StageFile]) -> Iterator[UsedRecipe]:
    """Yields the different recipes behind some records, with those of their genes and ancestors."""
    used: dict[tuple[str, str], tuple[Recipe, dict[str, None]]] = {}
    waiting = [record.address[:FOLDER_DIGITS] for record in records]
    seen = set(waiting)
    tasks = {record.address[:FOLDER_DIGITS]: _tuned(record) for record in records}
    for name in waiting:
        file = files.get(name)
        if file is None:
            continue
        for training, recipe, purpose in _trainings(file, tasks.get(name, "")):
            _, purposes = used.setdefault((training, recipe.model_dump_json()), (recipe, {}))
            purposes[purpose] = None
        further = [address[:FOLDER_DIGITS] for address in file.inputs.values()]
        waiting += [address for address in further if address not in seen]
        seen.update(further)
    order = {training: place for place, (training, _) in reversed(list(enumerate(used)))}
    for (training, _), (recipe, purposes) in sorted(used.items(), key=lambda item: order[item[0][0]]):
        settings = dict(_flat(recipe.model_dump(mode="json")))
        yield UsedRecipe(training, settings, tuple(filter(None, purposes)))


def _tuned(record: CellRecord) -> str:
    """Says what targets are fine-tuned on, and how, where that is not as usual."""
    cell = record.cell
    share = f" {cell.share:g} %" if cell.share != 100 else ""
    horizon = f" ×{cell.horizon:g}" if cell.horizon != 1 else ""
    return f"{cell.size} on {cell.task}{share}{horizon}"


def _trainings(file: StageFile, tuned: str) -> Iterator[tuple[str, Recipe, str]]:
    """Yields the trainings of a stage: name, recipe, and what it is for."""
    config = file.config
    if isinstance(config, CellConfig):
        if config.finetuning:
            yield "finetuning", config.finetuning, tuned
        yield from ((name, recipe, config.method.name) for name, recipe in config.recipes.items())
    elif isinstance(config, GeneConfig):
        yield from ((name, recipe, config.method.name) for name, recipe in config.recipes.items())
    elif isinstance(config, AncestorConfig) and config.recipe:
        yield "pretraining", config.recipe, f"width {config.spec['width']}"
    elif isinstance(config, TeacherConfig) and config.teacher.recipe and not config.teacher.is_loaded:
        yield "teacher", config.teacher.recipe, config.teacher.architecture


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted names and values, without those that are null, false, zero, or an empty section."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value:
            yield f"{prefix}{name}", value
