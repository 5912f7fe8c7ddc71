"""From methods, a grid and a preset to a plan: which cells there are, which stages they need, what cannot exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec, count
from learngene_bench.contracts.initializer import (
    Ancestor,
    Distiller,
    GeneRequest,
    Initializer,
    Pretrained,
    wrong_family,
)
from learngene_bench.planning.descriptions import (
    differences,
    downstream_differences,
    finetuning_differences,
    recipe_differences,
    text_of,
)
from learngene_bench.planning.method_spec import MethodSpec
from learngene_bench.planning.plan import Cell, MethodVariant, Plan, Stage, UnsupportedCell
from learngene_bench.planning.request import Request
from learngene_bench.planning.targets import Target, Task, model_family, source_task, targets_of
from learngene_bench.plugins.registry import Registered
from learngene_bench.schema.provenance import TaskData
from learngene_bench.schema.stage import (
    AncestorConfig,
    CellConfig,
    GeneConfig,
    LoadedWeights,
    MethodIdentity,
    TeacherConfig,
)
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import address_of, file_hash
from learngene_bench.version import PROTOCOL


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
        self.family, self.architecture = model_family(self.preset)
        self.targets = targets_of(self.preset, self.grid, self.source)
        self.tasks = list({target.task.name: target.task for target in self.targets}.values())
        self._check_validation()
        compute = self.preset.compute
        self.common: dict[str, Any] = {
            "protocol": PROTOCOL,
            "data": self.source.identity,
            "device": request.device,
            "processes": request.processes,
            "threads": compute.threads,
            "precision": compute.precision,
            "compile": compute.compile,
            "base": self.preset.base,
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
            "base": self.preset.base.model_dump(),
            "preset": self.preset.name,
            "evaluation_split": self.preset.evaluation_split,
            "model": {"family": self.family.name, **self.architecture.model_dump()},
            **self._ordinary_training(),
        }
        plan = Plan(
            self.preset,
            self.grid,
            source=self.source.name,
            tasks=list({task.name: task for task in (self.source, *self.tasks)}.values()),
            setting=address_of(shared),
            setting_description=", ".join([self.preset.name, *self._setting_differences()]),
        )
        if self.request.equal_budget:
            plan.equal_budget_of = plan.setting
            plan.equal_budget_iterations = max(self._budget(target) for target in self.targets)
            plan.setting = address_of({**shared, "equal_budget": self.preset.recipes["inheritance"].model_dump()})
        return plan

    def _ordinary_training(self) -> dict[str, Any]:
        """How and on what targets are tuned, of all columns of a table together."""
        if self.tasks == [self.source]:
            recipes = {
                name: self.preset.recipe_of("finetuning", size.width) for name, size in self.preset.sizes.items()
            }
            return {"finetuning": {name: recipe.model_dump() for name, recipe in recipes.items()}}
        return {
            "downstream": [
                {"task": task.name, "data": task.identity, "recipe": self._tuning_on(task, 0).model_dump()}
                for task in self.tasks
            ]
        }

    def _setting_differences(self) -> list[str]:
        """Lists what sets the numbers of all methods apart from those of the preset as its file has it."""
        preset, reference = self.preset, self.request.reference
        located = {f"data.{option}" for option in self.source.dataset.location}
        lines = ["cuda"] if self.request.device == "cuda" else []
        lines += [f"{self.request.processes} processes for a model"] if self.request.processes > 1 else []
        lines += differences(reference.data, preset.data, "data")
        for section in ("model", "base"):
            lines += differences(getattr(reference, section), getattr(preset, section), section)
        lines += differences(_numerics(reference), _numerics(preset), "compute")
        lines += differences(_widths(reference), _widths(preset), "sizes")
        if reference.evaluation_split != preset.evaluation_split:
            lines.append(f"evaluation_split={preset.evaluation_split}")
        if self.tasks == [self.source]:
            lines += finetuning_differences(reference, preset)
        else:
            lines += downstream_differences(reference, preset, [task.name for task in self.tasks])
        for task in self.tasks if preset.downstream else ():
            if task == self.source:
                continue
            former = reference.downstream.tasks.get(task.name) if reference.downstream else None
            prefix = f"downstream.tasks.{task.name}.data"
            located |= {f"{prefix}.{option}" for option in task.dataset.location}
            lines += differences(former.data if former else {}, task.settings, prefix)
        return [line for line in lines if line.partition("=")[0] not in located]

    def plan(self) -> Plan:
        for choice in self.request.methods:
            method = choice.registered.create(dict(choice.options))
            for target in self.targets:
                row = self._variant(choice, method, target)
                if row not in self.result.rows:
                    self.result.rows.append(row)
                reason = wrong_family(method, target.spec) or method.supports(target.spec, target.base)
                if reason is not None:
                    self.result.dashes.append(UnsupportedCell(row, target.size, target.task.name, target.spec, reason))
                    continue
                self._add_cells(choice, method, row, target)
        return self.result

    def _variant(self, choice: MethodSpec, method: Initializer, target: Target) -> MethodVariant:
        """Describes a row by its options, and by what differs from the preset in settings that its cells depend on."""
        fits = wrong_family(method, target.spec) is None
        request = method.gene_request(target.spec, target.base) if fits else None
        used = [(name, target.base.width) for name in method.trains()]
        used += [(name, request.family.width) for name in request.trains] if request else []
        default = type(method).Options()
        lines = [f"{key}={self._text(value)}" for key, value in method.options if value != getattr(default, key)]
        ancestors = list(request.ancestors.values()) if request else []
        if any(isinstance(ancestor, Distiller) for ancestor in ancestors):
            lines += differences(self.request.reference.teacher, self.preset.teacher, "teacher", self._text)
        if pretrained := [ancestor.spec.width for ancestor in ancestors if isinstance(ancestor, Pretrained)]:
            lines += differences(self.request.reference.ancestor, self.preset.ancestor, "ancestor", self._text)
            used += [("pretraining", width) for width in pretrained if not self._is_loaded]
        for name in dict.fromkeys(name for name, _ in used):
            widths = {self.preset.size_at(width): width for recipe, width in used if recipe == name}
            before, after = (
                {size: preset.recipe_of(name, width, method.recipe_fallbacks) for size, width in widths.items()}
                for preset in (self.request.reference, self.preset)
            )
            common = next(iter(after.values()))
            lines += recipe_differences(before, after, common, name, f"sizes.{{}}.recipes.{name}")
        version = str(method.version) + (
            f"+{choice.registered.source_hash[:8]}" if choice.registered.source_hash else ""
        )
        return MethodVariant(method.name, method.row_title(), method.group, ", ".join(lines), version)

    @property
    def _is_loaded(self) -> bool:
        """True if ancestors that are Vision Transformers are loaded and not trained."""
        return bool(self.preset.ancestor.timm or self.preset.ancestor.checkpoint)

    def _add_cells(self, choice: MethodSpec, method: Initializer, row: MethodVariant, target: Target) -> None:
        """A cell for each seed."""
        preset, spec, base, task = self.preset, target.spec, target.base, target.task
        request = method.gene_request(spec, base)
        recipes = {name: self._recipe(method, name, base.width) for name in method.trains()}
        at_source = task == self.source
        tuning = None if method.is_trained and at_source else self._tuning(target, recipes)
        config = CellConfig(
            **self.common,
            method=_identity(choice.registered),
            options=self._options(method),
            target=spec.as_dict(),
            size_base=base.as_dict(),
            recipes=recipes,
            finetuning=tuning,
            evaluation_split=preset.evaluation_split,
            task=None if at_source else TaskData(data=task.identity),
            seed=0,
        )
        flops = sum(self._training_flops(spec, recipe) for recipe in recipes.values())
        flops += self._training_flops(spec, tuning, task) if tuning else 0.0
        epochs = preset.recipe_of("pretraining", base.width).epochs if method.is_trained else None
        if request and request.trains:
            epochs = self._recipe(method, request.trains[0], request.family.width).epochs
        # The paper's table of transfer counts no head, as none is handed over.
        counted = spec if at_source else replace(spec, classes=0)
        stored = count(dict(method.stored_shapes(counted, base)))
        for seed in range(self.request.seeds):
            inputs = {"gene": self._gene(choice, request, seed)} if request else {}
            label = f"{self._label(row, target)} seed {seed}"
            address = self._add(Stage("cell", label, config.model_copy(update={"seed": seed}), inputs, flops))
            self.result.cells.append(Cell(row, target.size, task.name, spec, seed, address, stored, epochs))
            if not at_source:
                self.result.task_data[address] = task.settings

    def _label(self, row: MethodVariant, target: Target) -> str:
        """What a cell is called, seed apart; its task and width only where it has others beside it."""
        words = [row.name, f"({row.variant})" if row.variant else "", target.size]
        words += [f"width {target.spec.width}"] if len({t.spec.width for t in self.targets}) > len(self._sizes) else []
        words += [f"depth {target.spec.depth}", f"on {target.task.name}" if target.task != self.source else ""]
        return " ".join(filter(None, words))

    @property
    def _sizes(self) -> set[str]:
        return {target.size for target in self.targets}

    def _tuning(self, target: Target, own: Mapping[str, Recipe]) -> Recipe:
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
        return task.recipe or self.preset.recipe_of("finetuning", width)

    def _budget(self, target: Target) -> int:
        """Iterations of ordinary training and `inheritance` together."""
        tuning = self._tuning_on(target.task, target.base.width).steps(target.task.facts.train_images)
        inheritance = self.preset.recipe_of("inheritance", target.base.width)
        return tuning + inheritance.steps(self.source.facts.train_images)

    def _recipe(self, method: Initializer | type[Initializer], name: str, width: int) -> Recipe:
        """Returns a recipe by which a method trains. Raises `UserError` if it is one that nobody declares."""
        try:
            return self.preset.recipe_of(name, width, method.recipe_fallbacks)
        except UserError as error:
            raise UserError(f"method {method.name!r} trains by a recipe that it does not declare: {error}") from error

    def _gene(self, choice: MethodSpec, request: GeneRequest, seed: int) -> str:
        kind = choice.registered.kind
        recipes = {name: self._recipe(kind, name, request.family.width) for name in request.trains}
        config = GeneConfig(
            **self.common,
            method=_identity(choice.registered),
            spec=request.family.as_dict(),
            settings=dict(request.settings),
            recipes=recipes,
            files={role: self._hash_of(path) for role, path in request.files.items()},
            # A gene that is a file is the same for all seeds.
            seed=seed if request.trains or request.ancestors or not request.files else None,
        )
        inputs = {role: self._ancestor(ancestor, seed) for role, ancestor in request.ancestors.items()}
        flops = sum(self._training_flops(request.family, recipe) for recipe in recipes.values())
        label = f"gene of {choice.registered.kind.name}, width {request.family.width}, seed {seed}"
        return self._add(Stage("gene", label, config, inputs, flops))

    def _ancestor(self, ancestor: Ancestor, seed: int) -> str:
        if isinstance(ancestor, Distiller):
            teacher = self.preset.teacher
            file = teacher.checkpoint and Path(self._hash_of(teacher.checkpoint))
            config = TeacherConfig(**self.common, teacher=teacher.model_copy(update={"checkpoint": file}))
            return self._add(Stage("ancestor", f"teacher {teacher.architecture}", config, {}))
        if self._is_loaded:
            return self._loaded_ancestor(ancestor.spec)
        recipe = self.preset.recipe_of("pretraining", ancestor.spec.width)
        trained = AncestorConfig(**self.common, spec=ancestor.spec.as_dict(), recipe=recipe, seed=seed)
        label = f"pretrained model, {ancestor.spec}, seed {seed}"
        return self._add(Stage("ancestor", label, trained, {}, self._training_flops(ancestor.spec, recipe)))

    def _loaded_ancestor(self, spec: ModelSpec) -> str:
        """An ancestor from timm or a file: one model, so every method must ask for the same."""
        source = self.preset.ancestor
        if self.loaded_spec not in (None, spec):
            raise UserError(
                f"ancestor.{'timm' if source.timm else 'checkpoint'} names one model, but these methods and targets "
                f"need several: {self.loaded_spec}; {spec} (choose fewer methods, or let the others be trained)"
            )
        self.loaded_spec = spec
        file = None if source.checkpoint is None else self._hash_of(source.checkpoint)
        weights = LoadedWeights(timm=source.timm, checkpoint=file)
        config = AncestorConfig(**self.common, spec=spec.as_dict(), weights=weights)
        return self._add(Stage("ancestor", f"{source.timm or source.checkpoint}, {spec}", config, {}))

    def _options(self, method: Initializer) -> dict[str, Any]:
        """A method's options as they stand in addresses: a file by its hash."""
        files = {name: self._hash_of(value) for name, value in method.options if isinstance(value, Path)}
        return {**method.options.model_dump(mode="json"), **files}

    def _hash_of(self, path: Path) -> str:
        """The hash of a file of weights, which stands for it in addresses."""
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
        return self._hash_of(value)[:8] if isinstance(value, Path) else text_of(value)

    def _training_flops(self, spec: ModelSpec, recipe: Recipe, task: Task | None = None) -> float:
        images = (task or self.source).facts.train_images
        return (
            3.0 * recipe.steps(images) * min(recipe.batch_size, images) * recipe.meta_batch_size * spec.forward_flops()
        )

    def _add(self, stage: Stage) -> str:
        self.result.stages.setdefault(stage.address, stage)
        return stage.address


def _identity(registered: Registered) -> MethodIdentity:
    """What tells a method's numbers apart: its name and version, and for a plugin file its text."""
    kind = registered.kind
    return MethodIdentity(name=kind.name, version=kind.version, source_hash=registered.source_hash)


def _numerics(preset: Preset) -> dict[str, Any]:
    """Returns the settings of `[compute]` that numbers depend on."""
    return {name: getattr(preset.compute, name) for name in ("threads", "precision", "compile")}


def _widths(preset: Preset) -> dict[str, Any]:
    return {name: {"width": size.width} for name, size in preset.sizes.items()}
