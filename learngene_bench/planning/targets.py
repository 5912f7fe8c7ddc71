"""What a grid measures: targets of every size, width and depth that it asks for, on every task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.loader import build_options
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import Dataset, DatasetFacts
from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES, ModelFamily, ModelSpec, family_of
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError, unknown


@dataclass(frozen=True)
class Task:
    """What networks are trained and measured on.

    Attributes:
        name: what tables call it.
        settings: of the data set, as a preset gives them: `name`, and its own options.
        recipe: how targets are tuned on it; None on the source task, where their size decides.
    """

    name: str
    settings: Mapping[str, Any]
    dataset: Dataset
    recipe: Recipe | None = None

    @cached_property
    def facts(self) -> DatasetFacts:
        return self.dataset.facts()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What of the data decides a result: not where they lie."""
        located = self.dataset.location
        options = {name: value for name, value in self.dataset.options.model_dump().items() if name not in located}
        return {"name": self.settings["name"], **options, "fingerprint": self.dataset.fingerprint()}

    def check_available(self) -> None:
        """Raises `UserError` if the data are not where the settings say."""
        try:
            self.dataset.check_available()
        except UserError as error:
            raise UserError(f"task {self.name!r}: {error}" if self.recipe else str(error)) from error


@dataclass(frozen=True)
class Target:
    """A model to initialize, and the task that it is tuned on.

    Attributes:
        size: name of the preset's size that it belongs to.
        base: the 12-layer model of this size, on the source task.
    """

    size: str
    base: ModelSpec
    spec: ModelSpec
    task: Task


def source_task(preset: Preset) -> Task:
    """The task on which ancestors are trained and genes are made."""
    data = dataset(preset.data)
    return Task(data.label(preset.data["name"]), preset.data, data)


def tasks_of(preset: Preset, grid: Grid, source: Task) -> list[Task]:
    """The tasks that targets are tuned on.

    Raises:
        UserError: the preset has no downstream tasks, or not these; images have another number of channels; test images
            of a task would be trained on at the source.
    """
    if grid.axis != "task":
        return [source]
    if preset.downstream is None:
        raise UserError(
            f"grid {grid.name!r} measures on downstream tasks, and preset {preset.name!r} has none "
            f"(give it a section [downstream]: tasks/README.md)"
        )
    known = preset.downstream.tasks
    tasks = []
    for name in dict.fromkeys(grid.tasks or known):
        if name not in known:
            raise unknown(f"task of preset {preset.name!r}", name, known)
        settings = known[name].data
        task = Task(name, settings, dataset(settings), preset.downstream.recipe_of(name))
        if task.facts.channels != source.facts.channels:
            raise UserError(
                f"task {name!r}: its images have {task.facts.channels} channels, those of the source task "
                f"{source.facts.channels}: no patch embedding reads both ({_way_out(task, source)})"
            )
        if conflict := task.dataset.conflict(source.dataset):
            raise UserError(f"task {name!r}: {conflict}")
        tasks.append(task)
    return tasks


def _way_out(task: Task, source: Task) -> str:
    """How a task's images get as many channels as the source's, or the other way round."""
    for one, other, place in ((task, source, f"downstream.tasks.{task.name}.data"), (source, task, "data")):
        if "channels" in type(one.dataset).Options.model_fields:
            return f"--set {place}.channels={other.facts.channels}"
    return "choose other tasks with --set grid.tasks=[...]"


def targets_of(preset: Preset, grid: Grid, source: Task) -> list[Target]:
    """Every target of a grid: sizes, in them widths, in them depths, in them tasks.

    Raises:
        UserError: the grid names an unknown size or task, or sizes are impossible.
    """
    tasks = tasks_of(preset, grid, source)
    return [
        Target(size, base, _on(task, family_of(base).widened(base, factor).with_depth(depth)), task)
        for size, base in _bases(preset, grid, source.facts).items()
        for factor in dict.fromkeys(grid.width_factors)
        for depth in dict.fromkeys(grid.depths)
        for task in tasks
    ]


def model_family(preset: Preset) -> tuple[ModelFamily, Section]:
    """The family of a preset's models, and what they share.

    Raises:
        UserError: an unknown family, or settings that are not its own.
    """
    settings = {"family": DEFAULT_FAMILY, **preset.model}
    family = FAMILIES.get(str(settings.pop("family")))()
    return family, build_options(family.Architecture, settings, f"model ({family.name})")


def _bases(preset: Preset, grid: Grid, facts: DatasetFacts) -> dict[str, ModelSpec]:
    """The 12-layer model of every size that the grid asks for."""
    family, architecture = model_family(preset)
    bases = {}
    for size in _sizes(preset, grid):
        try:
            bases[size] = family.base_spec(
                architecture,
                width=preset.sizes[size].width,
                image_size=facts.image_size,
                channels=facts.channels,
                classes=facts.classes,
            )
        except UserError as error:
            raise UserError(f"size {size!r}: {error}") from error
    return bases


def _sizes(preset: Preset, grid: Grid) -> list[str]:
    if grid.sizes == "all":
        return list(preset.sizes)
    if grid.sizes == "middle":
        by_width = sorted(preset.sizes, key=lambda size: preset.sizes[size].width)
        return [by_width[len(by_width) // 2]]
    for size in grid.sizes:
        if size not in preset.sizes:
            raise unknown(f"size of preset {preset.name!r}", size, preset.sizes)
    return list(grid.sizes)


def _on(task: Task, spec: ModelSpec) -> ModelSpec:
    """A model of the source task's as this task needs it."""
    facts = task.facts
    try:
        return replace(spec, image_size=facts.image_size, classes=facts.classes)
    except UserError as error:
        raise UserError(f"task {task.name!r}: {error}") from error
