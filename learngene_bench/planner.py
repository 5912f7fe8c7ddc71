"""From methods, a grid and a preset to a plan: which cells there are, which stages they need, what cannot exist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from learngene_bench import PROTOCOL
from learngene_bench.config import Grid, Preset, Recipe, parse_override
from learngene_bench.datasets import Dataset, DatasetFacts
from learngene_bench.errors import UserError, unknown
from learngene_bench.files import address_of, file_hash
from learngene_bench.initializer import Ancestor, Distiller, GeneRequest, Initializer
from learngene_bench.plan import BASE_DEPTH, Cell, Dash, Plan, Row, Stage
from learngene_bench.registry import Registered, Registry, dataset
from learngene_bench.spec import ModelSpec, count


@dataclass(frozen=True)
class Choice:
    """A method as chosen on the command line: `wave` or `wave:learn_scalers=false`."""

    registered: Registered
    options: Mapping[str, Any]


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
        self.data: Dataset = dataset(self.preset.data)
        self.facts: DatasetFacts = self.data.facts()
        options = {k: v for k, v in self.data.options.model_dump().items() if k not in self.data.location}
        compute = self.preset.compute
        self.common = {
            "protocol": PROTOCOL,
            "data": {"name": self.preset.data["name"], **options, "fingerprint": self.data.fingerprint()},
            "threads": compute.threads,
            "precision": compute.precision,
            "compile": compute.compile,
            "base": self.preset.base.model_dump(),
        }
        shared = {
            **self.common,
            "preset": self.preset.name,
            "tuning": self.preset.tuning.model_dump(),
            "tuning_of_sizes": {name: size.tuning for name, size in self.preset.sizes.items() if size.tuning},
            "evaluation_split": self.preset.evaluation_split,
            "model": self.preset.model.model_dump(),
        }
        about_others: tuple[str, ...] = (
            "condensation.",
            "hypernetwork.",
            "inheritance.",
            "pretraining.",
            "teacher.",
            "ancestor.",
            "sizes.",
        )
        about_others += tuple(f"data.{option}" for option in self.data.location)
        changes = [f"{key}={value}" for key, value in request.changes.items() if not key.startswith(about_others)]
        self.task = self.data.label(self.preset.data["name"])
        self.result = Plan(
            self.preset,
            self.grid,
            setting=address_of(shared),
            setting_description=", ".join([self.preset.name, *changes]),
        )
        if request.equal_budget:
            self.result.equal_budget_of = self.result.setting
            budgets = [self._budget(size.width) for size in self.preset.sizes.values()]
            self.result.equal_budget_iterations = max(budgets)
            self.result.setting = address_of({**shared, "equal_budget": self.preset.inheritance.model_dump()})

    def plan(self) -> Plan:
        targets = [
            (size, base, base.with_depth(depth))
            for size, base in self._bases().items()
            for depth in dict.fromkeys(self.grid.depths)
        ]
        for choice in self.request.choices:
            method = choice.registered.create(dict(choice.options))
            for size, base, target in targets:
                row = self._row(choice, method, target, base)
                if row not in self.result.rows:
                    self.result.rows.append(row)
                reason = method.supports(target, base)
                if reason is not None:
                    self.result.dashes.append(Dash(row, size, self.task, target, reason))
                    continue
                self._add_cells(choice, method, row, size, base, target)
        return self.result

    def _bases(self) -> dict[str, ModelSpec]:
        """The 12-layer model of every size that the grid asks for."""
        model = self.preset.model
        bases = {}
        for size in self.grid.sizes or self.preset.sizes:
            if size not in self.preset.sizes:
                raise unknown(f"size of preset {self.preset.name!r}", size, self.preset.sizes)
            width = self.preset.sizes[size].width
            if width % model.head_dimension:
                raise UserError(
                    f"size {size!r}: width {width} is not a multiple of the head dimension {model.head_dimension}"
                )
            bases[size] = ModelSpec(
                depth=BASE_DEPTH,
                width=width,
                heads=width // model.head_dimension,
                patch_size=model.patch_size,
                image_size=self.facts.image_size,
                channels=self.facts.channels,
                classes=self.facts.classes,
                mlp_ratio=model.mlp_ratio,
                class_token=model.class_token,
                irpe=model.irpe,
            )
        return bases

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

    def _add_cells(
        self, choice: Choice, method: Initializer, row: Row, size: str, base: ModelSpec, target: ModelSpec
    ) -> None:
        """A cell for each seed."""
        request = method.gene_request(target, base)
        preset = self.preset
        recipes = {name: preset.recipe_of(name, base.width) for name in method.trains()}
        tuning = None if method.is_trained else self._tuning(base.width, recipes)
        config = {
            **self.common,
            "method": _identity(choice.registered),
            "options": self._options(method),
            "target": target.as_dict(),
            "size_base": base.as_dict(),
            "recipes": {name: recipe.model_dump() for name, recipe in recipes.items()},
            "tuning": tuning.model_dump() if tuning else None,
            "evaluation_split": preset.evaluation_split,
        }
        label = f"{row.name}{f' ({row.variant})' if row.variant else ''} {size} depth {target.depth}"
        trained = [*recipes.values(), *([tuning] if tuning else [])]
        flops = sum(self._training_flops(target, recipe) for recipe in trained)
        epochs = preset.recipe_of("pretraining", base.width).epochs if method.is_trained else None
        if request and request.trains:
            epochs = preset.recipe_of(request.trains[0], request.family.width).epochs
        stored = count(dict(method.stored_shapes(target, base)))
        for seed in range(self.request.seeds):
            inputs = {"gene": self._gene(choice, request, seed)} if request else {}
            address = self._add(Stage("cell", f"{label} seed {seed}", {**config, "seed": seed}, inputs, flops))
            self.result.cells.append(Cell(row, size, self.task, target, seed, address, stored, epochs))

    def _tuning(self, width: int, own: Mapping[Literal["inheritance"], Recipe]) -> Recipe:
        """Ordinary training of a target.

        At equal budget every method has the same number of iterations in all, those of `tuning` and `inheritance`
        together, and what it trains by itself in `initialize` (`own`) is taken off: a method that is ahead only
        because it trains longer is ahead no more.
        """
        recipe = self.preset.recipe_of("tuning", width)
        if not self.request.equal_budget:
            return recipe
        images = self.facts.train_images
        left = self._budget(width) - sum(trained.steps(images) for trained in own.values())
        return recipe.model_copy(update={"epochs": None, "iterations": left})

    def _budget(self, width: int) -> int:
        """Iterations of `tuning` and `inheritance` together."""
        images = self.facts.train_images
        return sum(self.preset.recipe_of(kind, width).steps(images) for kind in ("tuning", "inheritance"))

    def _gene(self, choice: Choice, request: GeneRequest, seed: int) -> str:
        recipes = {name: self.preset.recipe_of(name, request.family.width) for name in request.trains}
        config = {
            **self.common,
            "method": _identity(choice.registered),
            "family": request.family.as_dict(),
            "settings": dict(request.settings),
            "recipes": {name: recipe.model_dump() for name, recipe in recipes.items()},
            "seed": seed,
            **({"files": {role: self._file(path) for role, path in request.files.items()}} if request.files else {}),
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

    def _training_flops(self, spec: ModelSpec, recipe: Recipe) -> float:
        images = self.facts.train_images
        return 3.0 * recipe.steps(images) * min(recipe.batch_size, images) * recipe.networks * spec.forward_flops()

    def _add(self, stage: Stage) -> str:
        self.result.stages.setdefault(stage.address, stage)
        return stage.address


def _identity(registered: Registered) -> dict[str, Any]:
    """What tells a method's numbers apart: its name and version, and for a plugin file its text."""
    kind = registered.kind
    return {"name": kind.name, "version": kind.version, "source_hash": registered.source_hash}


def parse_methods(text: str, registry: Registry, options: Mapping[str, Mapping[str, Any]]) -> list[Choice]:
    """Reads `--method`: names separated by commas, `all`, or `NAME:OPTION=VALUE[:OPTION=VALUE]` for a variant.

    Args:
        options: by method name, what `--set NAME.OPTION=VALUE` said; a variant's own options come on top.

    Raises:
        UserError: an unknown name or option.
    """
    choices = []
    # Not at the commas of a list, as in wave:parts=["attention", "mlp"].
    for item in [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]:
        name, *settings = item.split(":")
        names = registry.names() if name == "all" else [name]
        own = dict(parse_override(setting) for setting in settings)
        chosen = [Choice(registry.get(n), {**options.get(n, {}), **own}) for n in names]
        choices += [choice for choice in chosen if choice not in choices]
    if not choices:
        raise UserError(f"--method is empty (valid: all, {', '.join(registry.names())})")
    return choices


def _section_of(key: str) -> str:
    """The section of a dotted preset key that a row may use: `condensation`, also of `sizes.ti.condensation.epochs`."""
    parts = key.split(".")
    return parts[2] if parts[0] == "sizes" and len(parts) > 2 else parts[0]


def _text(value: object) -> str:
    """A value as one would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
