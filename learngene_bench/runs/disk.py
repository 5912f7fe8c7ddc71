"""Estimates the disk space that the stages of a plan keep when they are done. Torch is not imported.

Files of tensors are counted from the shapes of models: four bytes for each parameter. Sizes of the other files are
those of real records, by the number of tensors, points of the learning curve and images. A file takes whole blocks.

Not counted: teachers, and what a gene holds beside the weights that are handed over, such as a hypernetwork.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.family import ModelSpec, spec_from_dict
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.schema.base import Scalar
from learngene_bench.schema.stage import AncestorConfig, CellConfig, GeneConfig
from learngene_bench.util.files import json_text
from learngene_bench.util.words import counted

BLOCK = 4096
"""Bytes that a file system hands out at a time; a folder takes one block."""
NUMBER = 4
"""Bytes of one weight."""

_HEADER = 90
"""Bytes that a file of tensors spends on each name and shape."""
_EXECUTION = 1500
"""Bytes of `config.json` beside the configuration itself."""
_CELL_RECORD, _OTHER_RECORD = 3500, 2000
"""Bytes of `result.json` beside what is counted for each tensor and each point of its curve."""
_POINT, _STATISTICS, _BASE_TENSOR = 180, 126, 16
"""Bytes of a point of a curve, of the statistics of one tensor, and of a name in the record."""
_ZIPPED = 800
"""Bytes of the file of predictions beside the predictions."""
_TRAINED = 3
"""Numbers in a checkpoint for each parameter: the weight, and two moments of the optimizer."""


@dataclass(frozen=True)
class Space:
    """Disk space.

    Attributes:
        bytes: in whole blocks.
        files: files and folders, each of which takes an inode.
    """

    bytes: int = 0
    files: int = 0

    def __add__(self, other: Space) -> Space:
        return Space(self.bytes + other.bytes, self.files + other.files)

    @property
    def words(self) -> str:
        """The number of bytes and the number of files."""
        return f"{size(self.bytes)} in {counted(self.files, 'file')} and folders"

    @staticmethod
    def total(spaces: Iterable[Space]) -> Space:
        """Adds up."""
        every = list(spaces)
        return Space(sum(one.bytes for one in every), sum(one.files for one in every))


def size(count: int) -> str:
    """Formats a number of bytes in the unit that suits it: 12 MB, 3.4 TB."""
    number, units = float(count), ["bytes", "kB", "MB", "GB", "TB", "PB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.0f} {units[0]}" if number >= 100 or units[0] == "bytes" else f"{number:.2g} {units[0]}"


def space_of_stages(plan: Plan) -> dict[str, Space]:
    """Estimates what each stage of a plan keeps when it is done, by address."""
    handed_over: dict[str, int] = {}
    for cell in plan.cells:
        if gene := plan.stages[cell.address].inputs.get("gene"):
            handed_over[gene] = max(handed_over.get(gene, 0), cell.parameters.stored)
    facts = {task.name: task.facts for task in plan.tasks}
    tasks = {cell.address: facts[cell.task] for cell in plan.cells}
    made: dict[str, Space] = {}
    alike: dict[tuple[str, ...], Space] = {}
    for address, stage in plan.stages.items():
        # Stages that differ in nothing but the seed take the same space.
        name = stage.label.rpartition(" seed ")[0], *stage.group, str(handed_over.get(address, 0))
        if name not in alike:
            alike[name] = _space(stage, tasks.get(address), handed_over.get(address, 0), plan)
        made[address] = alike[name]
    return made


def checkpoint_bytes(plan: Plan) -> int:
    """Estimates the largest checkpoint of the plan's trainings, which lies on the disk twice while it is written."""
    models = [
        stage.config.target if isinstance(stage.config, CellConfig) else stage.config.spec
        for stage in plan.stages.values()
        if isinstance(stage.config, CellConfig | GeneConfig | AncestorConfig)
    ]
    return max((_TRAINED * NUMBER * _model(model).parameter_count() for model in models), default=0)


def _space(stage: Stage, task: DatasetFacts | None, handed_over: int, plan: Plan) -> Space:
    config = stage.config
    files = [len(json_text(config.model_dump(mode="json"))) + _EXECUTION, 0]  # config.json, and an empty log.txt
    if isinstance(config, CellConfig) and task is not None:
        spec = _model(config.target)
        tensors = len(spec.parameter_shapes())
        points = _points(config.finetuning, task.train_images)
        names = len(json_text(task.class_names))
        files += [NUMBER * spec.parameter_count() + _HEADER * tensors, _STATISTICS * tensors]
        files.append(_CELL_RECORD + _POINT * points + _BASE_TENSOR * tensors + names)
        if task.kind == "classification":
            images = task.test_images if config.evaluation_split == "test" else task.validation_images
            probabilities = 2 * task.classes * plan.preset.compute.keep_probabilities
            files.append(images * (2 * (1 if task.classes <= 256 else 2) + 4 + probabilities) + _ZIPPED)
    elif isinstance(config, GeneConfig):
        points = sum(_points(recipe, _source_images(plan)) for recipe in config.recipes.values())
        spec = _model(config.spec)
        # A gene that nothing trains may be the whole model that it is taken from.
        numbers = handed_over if handed_over and config.recipes else max(handed_over, spec.parameter_count())
        files += [NUMBER * numbers + _HEADER * len(spec.parameter_shapes()), _OTHER_RECORD + _POINT * points]
    elif isinstance(config, AncestorConfig):
        spec = _model(config.spec)
        points = _points(config.recipe, _source_images(plan))
        files += [NUMBER * spec.parameter_count() + _HEADER * len(spec.parameter_shapes())]
        files += [_OTHER_RECORD + _POINT * points]
    else:  # a teacher, whose architecture is known to torch alone
        files.append(_OTHER_RECORD)
    return Space(BLOCK + sum(BLOCK * math.ceil(one / BLOCK) for one in files), 1 + len(files))


def _source_images(plan: Plan) -> int:
    return plan.tasks[0].facts.train_images


def _points(recipe: Recipe | None, images: int) -> int:
    """Counts the points of a learning curve; the start is one."""
    if recipe is None:
        return 1
    epochs = recipe.epochs if recipe.epochs is not None else recipe.steps(images) * recipe.batch_size / max(1, images)
    return 1 + math.ceil(epochs / (recipe.evaluate_every or 1))


def _model(description: Mapping[str, Scalar]) -> ModelSpec:
    return _described(tuple(sorted(description.items())))


@cache
def _described(description: tuple[tuple[str, Scalar], ...]) -> ModelSpec:
    return spec_from_dict(dict(description))
