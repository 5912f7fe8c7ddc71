"""The tasks of a plan: the source task, and the downstream tasks of a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import Dataset, DatasetFacts
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError, unknown


@dataclass(frozen=True)
class Task:
    """A data set on which networks are trained and measured: the source task, or a downstream one.

    Attributes:
        name: what tables call it.
        settings: `name` and options of the data set, as a preset gives them.
        recipe: how targets are fine-tuned on it; None for the source task, where their size decides.
    """

    name: str
    settings: Mapping[str, Any]
    dataset: Dataset
    recipe: Recipe | None = None

    @cached_property
    def facts(self) -> DatasetFacts:
        return self.dataset.facts()

    @property
    def kind(self) -> TaskKind:
        return task_kind(self.facts.kind)

    @property
    def outputs(self) -> int:
        """Size of a model's head, the `classes` of its spec."""
        return self.kind.outputs(self.facts)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Describes the data as far as they decide a result, without the place where they lie."""
        located = self.dataset.location
        options = {name: value for name, value in self.dataset.options.model_dump().items() if name not in located}
        return {"name": self.settings["name"], **options, "fingerprint": self.dataset.fingerprint()}

    def check_available(self) -> None:
        """Raises `UserError` if the data are not where the settings say."""
        try:
            self.dataset.check_available()
        except UserError as error:
            raise UserError(f"task {self.name!r}: {error}" if self.recipe else str(error)) from error


def source_task(preset: Preset) -> Task:
    """Returns the task on which ancestors are trained and genes are made."""
    data = dataset(preset.data)
    return Task(data.label(preset.data["name"]), preset.data, data)


def tasks_of(preset: Preset, grid: Grid, source: Task) -> list[Task]:
    """Returns the tasks on which targets are fine-tuned.

    Raises:
        UserError: the preset has no downstream tasks, or not these; images have another number of channels; test images
            of a task would be trained on at the source.
    """
    if not grid.is_downstream:
        return [source]
    if preset.downstream is None:
        raise UserError(
            f"grid {grid.name!r} measures on downstream tasks, and preset {preset.name!r} has none "
            f"(give it a section [downstream]: tasks/README.md)"
        )
    known = preset.downstream.tasks
    tasks = []
    chosen = grid.tasks or preset.downstream.of_kind(grid.task_kind)
    if not chosen:
        raise UserError(
            f"grid {grid.name!r} measures on downstream tasks of the kind {grid.task_kind!r}, and preset "
            f"{preset.name!r} has none"
        )
    for name in dict.fromkeys(chosen):
        if name not in known:
            raise unknown(f"task of preset {preset.name!r}", name, known)
        settings = known[name].data
        task = Task(name, settings, dataset(settings), preset.downstream.recipe_of(name))
        if task.facts.channels != source.facts.channels:
            raise UserError(
                f"task {name!r}: its images have {task.facts.channels} channels, those of the source task "
                f"{source.facts.channels}: no patch embedding reads both ({_channels_hint(task, source)})"
            )
        if overlap := task.dataset.overlap_with(source.dataset):
            raise UserError(f"task {name!r}: {overlap}")
        tasks.append(task)
    return tasks


def _channels_hint(task: Task, source: Task) -> str:
    """Tells how a task's images get as many channels as the source's, or the other way round."""
    for one, other, place in ((task, source, f"downstream.tasks.{task.name}.data"), (source, task, "data")):
        if "channels" in type(one.dataset).Options.model_fields:
            return f"--set {place}.channels={other.facts.channels}"
    return "choose other tasks with --set grid.tasks=[...]"
