"""From methods, a grid and a preset to a plan: which cells there are, which stages they need, what cannot exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from learngene_bench.config.grid import Grid
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.initializer import Ancestor, Distiller, GeneRequest, Initializer
from learngene_bench.models.spec import ModelSpec, count
from learngene_bench.planning.method_spec import Choice
from learngene_bench.planning.plan import Cell, Dash, Plan, Row, Stage
from learngene_bench.planning.targets import Target, Task, source_task, targets_of
from learngene_bench.plugins.registry import Registered
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import address_of, file_hash
from learngene_bench.version import PROTOCOL


@dataclass(frozen=True)
class Request:
    """All that decides a plan.

    Attributes:
        changes: the dotted preset keys that the user overrode, to tell rows and settings apart in tables.
        equal_budget: whether what a method trains in `initialize` is taken off its tuning, see `_Planner._tuning`.
    """

    preset: Preset
    grid: Grid
    choices: Sequence[Choice]
    seeds: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    equal_budget: bool = False


def make_plan(request: Request) -> Plan:
    """Lays out every cell of the request and the stages it needs.

    Raises:
        UserError: the grid names an unknown size, sizes are impossible, data or options are wrong.
    """
    return _Planner(request).plan()


class _Planner:
    def __init__(self, request: Request) -> None:
        self.request, self.preset, self.grid = request, request.preset, request.grid
        self.loaded_spec: ModelSpec | None = None
        self.hashes: dict[Path, str] = {}
        self.source = source_task(self.preset)
        self.targets = targets_of(self.preset, self.grid, self.source)
        self.tasks = list({target.task.name: target.task for target in self.targets}.values())
        self._check_validation()
        compute = self.preset.compute
        self.common = {
            "protocol": PROTOCOL,
            "data": self.source.identity,
            "threads": compute.threads,
            "precision": compute.precision,
            "compile": compute.compile,
            "base": self.preset.base.model_dump(),
        }
        self.result = self._empty_plan()

    def _check_validation(self) -> None:
        """Raises `UserError` if accuracy would be measured on no image."""
        if not self.source.facts.validation_images:
            raise UserError(f"{self.source.name}: no validation images; ancestors and genes are watched on some")
        for task in self.tasks:
            if self.preset.evaluation_split == "validation" and not task.facts.validation_images:
                raise UserError(f"evaluation_split is 'validation', and {task.name} has no validation images")

    def _empty_plan(self) -> Plan:
        shared = {
            **self.common,
            "preset": self.preset.name,
            "evaluation_split": self.preset.evaluation_split,
            "model": self.preset.model.model_dump(),
            **self._ordinary_training(),
        }
        plan = Plan(
            self.preset,
            self.grid,
            source=self.source.name,
            tasks=list({task.name: task for task in (self.source, *self.tasks)}.values()),
            setting=address_of(shared),
            setting_description=", ".join([self.preset.name, *self._told_changes()]),
        )
        if self.request.equal_budget:
            plan.equal_budget_of = plan.setting
            plan.equal_budget_iterations = max(self._budget(target) for target in self.targets)
            plan.setting = address_of({**shared, "equal_budget": self.preset.inheritance.model_dump()})
        return plan

    def _ordinary_training(self) -> dict[str, Any]:
        """How and on what targets are tuned, of all columns of a table together."""
        if self.tasks == [self.source]:
            sizes = {name: size.tuning for name, size in self.preset.sizes.items() if size.tuning}
            return {"tuning": self.grid.tuned(self.preset.tuning).model_dump(), "tuning_of_sizes": sizes}
        return {
            "downstream": [
                {"task": task.name, "data": task.identity, "recipe": self._tuning_on(task, 0).model_dump()}
                for task in self.tasks
            ]
        }

    def _told_changes(self) -> list[str]:
        """What sets this run's numbers apart from those of the preset as it is shipped, whatever the method."""
        untold = {"condensation", "hypernetwork", "inheritance", "pretraining", "teacher", "ancestor", "sizes"}
        untold |= {"tuning"} if self.grid.axis == "task" else {"downstream"}
        located = {f"data.{option}" for option in self.source.dataset.location}
        for task in self.tasks:
            located |= {f"downstream.tasks.{task.name}.data.{option}" for option in task.dataset.location}
        changes = [
            f"{key}={value}"
            for key, value in _flat(self.request.changes)
            if _section_of(key) not in untold and key not in located
        ]
        factor = self.grid.tuning_factor
        return changes + ([] if factor == 1 else [f"tuned {factor:g} times as long"])

    def plan(self) -> Plan:
        for choice in self.request.choices:
            method = choice.registered.create(dict(choice.options))
            for target in self.targets:
                row = self._row(choice, method, target.spec, target.base)
                if row not in self.result.rows:
                    self.result.rows.append(row)
                reason = method.supports(target.spec, target.base)
                if reason is not None:
                    self.result.dashes.append(Dash(row, target.size, target.task.name, target.spec, reason))
                    continue
                self._add_cells(choice, method, row, target)
        return self.result

    def _row(self, choice: Choice, method: Initializer, target: ModelSpec, base: ModelSpec) -> Row:
        request = method.gene_request(target, base)
        used: list[str] = [*method.trains(), *(request.trains if request else ())]
        if request:
            distilled = [isinstance(ancestor, Distiller) for ancestor in request.ancestors.values()]
            used += ["teacher"] * any(distilled) + ["pretraining", "ancestor"] * (not all(distilled))
        default = type(method).Options()
        if request and self.preset.hypernetwork is None and "hypernetwork" in request.trains:
            used.append("condensation")  # whose recipe it then is
        options = [f"{key}={self._text(value)}" for key, value in method.options if value != getattr(default, key)]
        changed = [f"{key}={_text(value)}" for key, value in self.request.changes.items() if _section_of(key) in used]
        version = str(method.version) + (
            f"+{choice.registered.source_hash[:8]}" if choice.registered.source_hash else ""
        )
        return Row(method.name, method.row_title(), method.group, ", ".join(options + changed), version)

    def _add_cells(self, choice: Choice, method: Initializer, row: Row, target: Target) -> None:
        """A cell for each seed."""
        preset, spec, base, task = self.preset, target.spec, target.base, target.task
        request = method.gene_request(spec, base)
        recipes = {name: preset.recipe_of(name, base.width) for name in method.trains()}
        at_source = task == self.source
        tuning = None if method.is_trained and at_source else self._tuning(target, recipes)
        config = {
            **self.common,
            "method": _identity(choice.registered),
            "options": self._options(method),
            "target": spec.as_dict(),
            "size_base": base.as_dict(),
            "recipes": {name: recipe.model_dump() for name, recipe in recipes.items()},
            "tuning": tuning.model_dump() if tuning else None,
            "evaluation_split": preset.evaluation_split,
            **({} if at_source else {"task": {"data": task.identity}}),
        }
        flops = sum(self._training_flops(spec, recipe) for recipe in recipes.values())
        flops += self._training_flops(spec, tuning, task) if tuning else 0.0
        epochs = preset.recipe_of("pretraining", base.width).epochs if method.is_trained else None
        if request and request.trains:
            epochs = preset.recipe_of(request.trains[0], request.family.width).epochs
        # The paper's table of transfer counts no head, as none is handed over.
        counted = spec if at_source else replace(spec, classes=0)
        stored = count(dict(method.stored_shapes(counted, base)))
        for seed in range(self.request.seeds):
            inputs = {"gene": self._gene(choice, request, seed)} if request else {}
            label = f"{self._label(row, target)} seed {seed}"
            address = self._add(Stage("cell", label, {**config, "seed": seed}, inputs, flops))
            self.result.cells.append(Cell(row, target.size, task.name, spec, seed, address, stored, epochs))
            if not at_source:
                self.result.task_data[address] = task.settings

    def _label(self, row: Row, target: Target) -> str:
        """What a cell is called, seed apart; its task and width only where it has others beside it."""
        words = [row.name, f"({row.variant})" if row.variant else "", target.size]
        words += [f"width {target.spec.width}"] if len({t.spec.width for t in self.targets}) > len(self._sizes) else []
        words += [f"depth {target.spec.depth}", f"on {target.task.name}" if target.task != self.source else ""]
        return " ".join(filter(None, words))

    @property
    def _sizes(self) -> set[str]:
        return {target.size for target in self.targets}

    def _tuning(self, target: Target, own: Mapping[Literal["inheritance"], Recipe]) -> Recipe:
        """Ordinary training of a target.

        At equal budget every method has the same number of iterations in all, those of ordinary training and of
        `inheritance` together, and what it trains by itself in `initialize` (`own`) is taken off: a method that is
        ahead only because it trains longer is ahead no more.
        """
        recipe = self._tuning_on(target.task, target.base.width)
        if not self.request.equal_budget:
            return recipe
        images = self.source.facts.train_images
        left = self._budget(target) - sum(trained.steps(images) for trained in own.values())
        return recipe.model_copy(update={"epochs": None, "iterations": left})

    def _tuning_on(self, task: Task, width: int) -> Recipe:
        """Ordinary training on a task of targets whose size has this width."""
        return self.grid.tuned(task.recipe or self.preset.recipe_of("tuning", width))

    def _budget(self, target: Target) -> int:
        """Iterations of ordinary training and `inheritance` together."""
        tuning = self._tuning_on(target.task, target.base.width).steps(target.task.facts.train_images)
        inheritance = self.preset.recipe_of("inheritance", target.base.width)
        return tuning + inheritance.steps(self.source.facts.train_images)

    def _gene(self, choice: Choice, request: GeneRequest, seed: int) -> str:
        recipes = {name: self.preset.recipe_of(name, request.family.width) for name in request.trains}
        config = {
            **self.common,
            "method": _identity(choice.registered),
            "family": request.family.as_dict(),
            "settings": dict(request.settings),
            "recipes": {name: recipe.model_dump() for name, recipe in recipes.items()},
            **({"files": {role: self._file(path) for role, path in request.files.items()}} if request.files else {}),
            # A gene that is a file is the same for all seeds.
            **({"seed": seed} if request.trains or request.ancestors or not request.files else {}),
        }
        inputs = {role: self._ancestor(ancestor, seed) for role, ancestor in request.ancestors.items()}
        flops = sum(self._training_flops(request.family, recipe) for recipe in recipes.values())
        label = f"gene of {choice.registered.kind.name}, width {request.family.width}, seed {seed}"
        return self._add(Stage("gene", label, config, inputs, flops))

    def _ancestor(self, ancestor: Ancestor, seed: int) -> str:
        if isinstance(ancestor, Distiller):
            teacher = self.preset.teacher
            settings = teacher.model_dump(mode="json") | {"checkpoint": self._file(teacher.checkpoint)}
            config = {**self.common, "teacher": settings}
            return self._add(Stage("ancestor", f"teacher {teacher.architecture}", config, {}))
        source = self.preset.ancestor
        if source.timm or source.checkpoint:
            return self._loaded_ancestor(ancestor.spec)
        recipe = self.preset.recipe_of("pretraining", ancestor.spec.width)
        config = {**self.common, "spec": ancestor.spec.as_dict(), "recipe": recipe.model_dump(), "seed": seed}
        label = f"pretrained model, {ancestor.spec}, seed {seed}"
        return self._add(Stage("ancestor", label, config, {}, self._training_flops(ancestor.spec, recipe)))

    def _loaded_ancestor(self, spec: ModelSpec) -> str:
        """An ancestor from timm or a file: one model, so every method must ask for the same."""
        source = self.preset.ancestor
        if self.loaded_spec not in (None, spec):
            raise UserError(
                f"ancestor.{'timm' if source.timm else 'checkpoint'} names one model, but these methods and targets "
                f"need several: {self.loaded_spec}; {spec} (choose fewer methods, or let the others be trained)"
            )
        self.loaded_spec = spec
        config = {
            **self.common,
            "spec": spec.as_dict(),
            "source": {"timm": source.timm, "checkpoint": self._file(source.checkpoint)},
        }
        return self._add(Stage("ancestor", f"{source.timm or source.checkpoint}, {spec}", config, {}))

    def _options(self, method: Initializer) -> dict[str, Any]:
        """A method's options as they stand in addresses: of a file its hash."""
        files = {name: self._file(value) for name, value in method.options if isinstance(value, Path)}
        return {**method.options.model_dump(mode="json"), **files}

    def _file(self, path: Path | None) -> str | None:
        """The hash of a file of weights, which stands for it in addresses."""
        if path is None:
            return None
        if path not in self.hashes:
            try:
                self.hashes[path] = file_hash(path)
            except OSError as error:
                raise UserError(f"file of weights {path}: {error.strerror}") from error
        found = self.hashes[path]
        self.result.files[found] = path
        return found

    def _text(self, value: object) -> str:
        """A value as one would type it; of a file the beginning of its hash, which tells it from others."""
        return str(self._file(value))[:8] if isinstance(value, Path) else _text(value)

    def _training_flops(self, spec: ModelSpec, recipe: Recipe, task: Task | None = None) -> float:
        images = (task or self.source).facts.train_images
        return 3.0 * recipe.steps(images) * min(recipe.batch_size, images) * recipe.networks * spec.forward_flops()

    def _add(self, stage: Stage) -> str:
        self.result.stages.setdefault(stage.address, stage)
        return stage.address


def _identity(registered: Registered) -> dict[str, Any]:
    """What tells a method's numbers apart: its name and version, and for a plugin file its text."""
    kind = registered.kind
    return {"name": kind.name, "version": kind.version, "source_hash": registered.source_hash}


def _section_of(key: str) -> str:
    """The section of a dotted preset key that a row may use: `condensation`, also of `sizes.ti.condensation.epochs`."""
    parts = key.split(".")
    return parts[2] if parts[0] == "sizes" and len(parts) > 2 else parts[0]


def _text(value: object) -> str:
    """A value as one would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of single values, of overrides that may be whole sections."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
