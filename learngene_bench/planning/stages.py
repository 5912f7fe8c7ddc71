"""Makes the stages that cells need, each with its address: ancestors, genes, cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import (
    Ancestor,
    Distiller,
    GeneRequest,
    Initializer,
    Pretrained,
    parameter_groups_of,
)
from learngene_bench.planning.image_costs import gene_recipes
from learngene_bench.planning.method_spec import MethodSpec
from learngene_bench.planning.plan import Stage
from learngene_bench.planning.recipe_checks import check_pretrained, check_recipe, check_teacher, check_used
from learngene_bench.planning.scope import Scope, recipe_of_method
from learngene_bench.planning.source_model import takes_from
from learngene_bench.planning.targets import Target
from learngene_bench.plugins.registry import Registered
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.stage import (
    AncestorConfig,
    CellConfig,
    Config,
    GeneConfig,
    LoadedWeights,
    MethodIdentity,
    TeacherConfig,
)
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash, readable
from learngene_bench.util.weight_files import check_weight_file
from learngene_bench.version import PROTOCOL


class StageMaker:
    """Makes stages. Each is kept once, however many cells need it.

    Attributes:
        stages: all stages so far by address, every stage after those it needs.
        files: paths of the files of weights that stages read, by SHA-256.
        common: the part of a configuration that all stages share.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope, self.preset = scope, scope.preset
        self.stages: dict[str, Stage] = {}
        self.files: dict[str, Path] = {}
        self._hashes: dict[Path, str] = {}
        self._loaded_spec: ModelSpec | None = None
        compute = self.preset.compute
        self.common: dict[str, Any] = {
            "protocol": PROTOCOL,
            "data": scope.source.identity,
            "device": scope.request.device,
            "processes": scope.request.processes,
            "threads": compute.threads,
            "precision": compute.precision,
            "compile": compute.compile,
            "base": self.preset.base,
        }

    def cells(
        self, spec: MethodSpec, method: Initializer, target: Target, gene: GeneRequest | None, label: str
    ) -> dict[str, CellConfig]:
        """Makes the cells of all seeds, with their genes and ancestors; returns their configurations by address."""
        source = self.scope.source
        recipes = self._recipes(method, method.trains(), target.base, target.width)
        prepared = self._checked(gene_recipes(method, gene, target, self.scope), gene.family) if gene else {}
        check_used(method, {**recipes, **prepared}, target.spec, target.base)
        at_source = target.task == source
        finetuning = None
        if not (method.is_trained and at_source):
            finetuning = self.scope.finetuning(target, recipes.values())
            where = "finetuning" if at_source else f"of task {target.task.name!r}"
            check_recipe(finetuning, where, target.task, target.spec)
        groups = parameter_groups_of(method, target.spec, target.base, finetuning) if finetuning else ()
        config = CellConfig(
            **self.common,
            method=_identity(spec.registered),
            options=self._options(method),
            target=target.spec.as_dict(),
            size_base=target.base.as_dict(),
            recipes=recipes,
            finetuning=finetuning,
            parameter_groups=groups,
            evaluation_split=self.preset.evaluation_split,
            seed=0,
        )
        flops = self._training_flops(target.spec, recipes.values())
        if finetuning:
            flops += _flops(target.spec, finetuning.images_trained_on(target.train_images))
        found = {}
        for gene_seed, seed in self._seeds(method, gene, is_finetuned=finetuning is not None):
            other = gene_seed if gene_seed != seed else None
            inputs = {"gene": self._gene(spec, gene, prepared, gene_seed)} if gene else {}
            if target.source and gene and takes_from(target.source, gene):
                inputs["source"] = self._ancestor(Pretrained(target.source), gene_seed)
            task = None if at_source else target.task_data(seed)
            seeded = config.model_copy(update={"seed": seed, "gene_seed": other, "task": task})
            of_gene = "" if other is None else f" gene {other}"
            found[self._add("cell", f"{label}{of_gene} seed {seed}", seeded, inputs, flops)] = seeded
        return found

    def _seeds(self, method: Initializer, gene: GeneRequest | None, is_finetuned: bool) -> list[tuple[int, int]]:
        """Lists the seeds of the cells of a target: of the gene, and of the target.

        Seeds that change nothing are the same for both, so that no two cells are copies of each other: without a gene,
        or with one that no seed decides, only target seeds differ; where the gene is the finished model, only its own.
        """
        seeds = self.scope.request.seeds
        if isinstance(seeds, int):
            return [(seed, seed) for seed in range(seeds)]
        if gene is None or not self._depends_on_seed(method, gene):
            return [(seed, seed) for seed in range(seeds.targets)]
        if not is_finetuned:
            return [(seed, seed) for seed in range(seeds.genes)]
        return list(itertools.product(range(seeds.genes), range(seeds.targets)))

    def _depends_on_seed(self, method: Initializer, gene: GeneRequest) -> bool:
        """Returns whether genes of two seeds may differ: in `prepare`, or in ancestors that are trained for each."""
        trained = any(isinstance(ancestor, Pretrained) for ancestor in gene.ancestors.values())
        if trained and not self.preset.ancestor.is_given:
            return True
        return not (method.ignores_seed or _is_file(gene))

    def _gene(self, spec: MethodSpec, request: GeneRequest, recipes: dict[str, Recipe], seed: int) -> str:
        config = GeneConfig(
            **self.common,
            method=_identity(spec.registered),
            spec=request.family.as_dict(),
            settings=dict(request.settings),
            recipes=recipes,
            files={role: self.hash_of(path) for role, path in request.files.items()},
            seed=None if _is_file(request) else seed,
        )
        inputs = {role: self._ancestor(ancestor, seed) for role, ancestor in request.ancestors.items()}
        flops = self._training_flops(request.family, recipes.values())
        label = f"gene of {spec.registered.kind.name}, width {request.family.width}, seed {seed}"
        return self._add("gene", label, config, inputs, flops)

    def _ancestor(self, ancestor: Ancestor, seed: int) -> str:
        if isinstance(ancestor, Distiller):
            return self._teacher()
        spec, source = ancestor.spec, self.preset.ancestor
        if source.is_given:
            return self._loaded_ancestor(spec)
        recipe = self.preset.recipe_of("pretraining", spec.width)
        check_recipe(recipe, "pretraining", self.scope.source, spec)
        config = AncestorConfig(**self.common, spec=spec.as_dict(), recipe=recipe, seed=seed)
        flops = self._training_flops(spec, [recipe])
        return self._add("ancestor", f"pretrained model, {spec}, seed {seed}", config, {}, flops)

    def _teacher(self) -> str:
        teacher = self.preset.teacher
        check_teacher(teacher, self.scope.source)
        file = teacher.checkpoint and Path(self.hash_of(teacher.checkpoint))
        config = TeacherConfig(**self.common, teacher=teacher.model_copy(update={"checkpoint": file}))
        return self._add("ancestor", f"teacher {teacher.architecture}", config, {})

    def _loaded_ancestor(self, spec: ModelSpec) -> str:
        """Makes an ancestor from timm or a file: one model, so every method must ask for the same."""
        source = self.preset.ancestor
        if self._loaded_spec not in (None, spec):
            raise UserError(
                f"ancestor.{'timm' if source.timm else 'checkpoint'} names one model, but these methods and targets "
                f"need several: {self._loaded_spec}; {spec} (choose fewer methods, or let the others be trained)"
            )
        self._loaded_spec = spec
        if source.timm is not None:
            check_pretrained(source.timm, spec.classes, "ancestor.checkpoint")
        file = None if source.checkpoint is None else self.hash_of(source.checkpoint)
        weights = LoadedWeights(timm=source.timm, checkpoint=file)
        config = AncestorConfig(**self.common, spec=spec.as_dict(), weights=weights)
        # Labels are published: no path of this machine.
        name = f"weights {file[:8]}" if file else source.timm
        return self._add("ancestor", f"{name}, {spec}", config, {})

    def _recipes(
        self, method: Initializer, names: Iterable[str], model: ModelSpec, width: int | None = None
    ) -> dict[str, Recipe]:
        """Returns the recipes that a method trains models of this family by, on the source task.

        Args:
            width: width of the size whose recipes they are; the model's when not given.
        """
        recipes = {name: recipe_of_method(self.preset, method, name, width or model.width) for name in names}
        return self._checked(recipes, model)

    def _checked(self, recipes: dict[str, Recipe], model: ModelSpec) -> dict[str, Recipe]:
        """Checks that models of this spec's family can be trained by these recipes, by name, on the source task."""
        for name, recipe in recipes.items():
            check_recipe(recipe, name, self.scope.source, model)
        return recipes

    def _options(self, method: Initializer) -> dict[str, Any]:
        """Returns a method's options as they stand in addresses: a file by its hash."""
        files = {name: self.hash_of(value) for name, value in method.options if isinstance(value, Path)}
        return {**method.options.model_dump(mode="json"), **files}

    def hash_of(self, path: Path) -> str:
        """Returns the hash of a file of weights, which stands for it in addresses."""
        if path not in self._hashes:
            check_weight_file(path)
            with readable(path):
                self._hashes[path] = file_hash(path)
        self.files[self._hashes[path]] = path
        return self._hashes[path]

    def _training_flops(self, spec: ModelSpec, recipes: Iterable[Recipe]) -> float:
        """Estimates the floating-point operations of training on the source task."""
        return _flops(spec, self.scope.images_at_source(recipes))

    def _add(self, kind: StageKind, label: str, config: Config, inputs: dict[str, str], flops: float = 0.0) -> str:
        stage = Stage(kind, label, config, inputs, flops)
        self.stages.setdefault(stage.address, stage)
        return stage.address


def _is_file(gene: GeneRequest) -> bool:
    """Returns whether a gene is read from files alone: the same for all seeds."""
    return bool(gene.files) and not gene.trains and not gene.ancestors


def _flops(spec: ModelSpec, images: int) -> float:
    """Estimates the floating-point operations of training; a backward pass counts as two forward passes."""
    return 3.0 * images * spec.forward_flops()


def _identity(registered: Registered) -> MethodIdentity:
    """Returns what tells a method's numbers apart: its name and version, and for a plugin file its text."""
    kind = registered.kind
    return MethodIdentity(name=kind.name, version=kind.version, source_hash=registered.source_hash)
