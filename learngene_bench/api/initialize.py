"""The initializers without the benchmark: `learngene_bench.initialize(model, "mimetic")` on a timm model of one's own.

>>> model = timm.create_model("deit_tiny_patch16_224")                       # doctest: +SKIP
>>> learngene_bench.initialize(model, "wave", gene="gene.safetensors", learn_scalers=False)   # doctest: +SKIP
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.api.given_models import AncestorFlops, check_teaches
from learngene_bench.api.match_gene import (
    base_of,
    described,
    match_gene,
    match_models,
    pretrained_roles,
    training_free_option,
)
from learngene_bench.api.rates import groups_around_core, groups_by_name
from learngene_bench.api.report import InitializationReport
from learngene_bench.api.training_data import DataLike, TrainingData, load_training_data
from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import BaseInitialization, Compute, Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec, family_of
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained, wrong_family
from learngene_bench.execution.device import choose_device
from learngene_bench.models.timm.core import Core, core_of, has_core
from learngene_bench.models.weights import spec_of, write_weights
from learngene_bench.planning.recipe_checks import check_used
from learngene_bench.plugins.registry import Registered, Registry
from learngene_bench.runs.gene_files import find_gene_file
from learngene_bench.runs.gene_references import GeneFile
from learngene_bench.schema.cost import Cost
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import source_data
from learngene_bench.util.errors import MethodFailure, UserError
from learngene_bench.util.rng import Role


def initialize(
    model: nn.Module,
    method: str | type[Initializer],
    *,
    gene: Gene | str | os.PathLike[str] | None = None,
    data: DataLike | None = None,
    seed: int = 0,
    preset: str | os.PathLike[str] | None = None,
    device: str = "auto",
    same_task: bool = True,
    **settings: Any,
) -> InitializationReport:
    """Initializes a model in place, by any method of the suite that works for its family; all of it or nothing.

    Args:
        model: a plain Vision Transformer, or any other model with stacks of blocks (docs/families.md); on any
            device, of any dtype. What the method does not write keeps the numbers it has.
        method: a name, or a class of one's own.
        gene: what the method inherits: a file (`runs/gene/*/tensors.safetensors` of an `lgbench run`), a gene of the
            package ("digits-micro") or of the Hugging Face hub ("hf://USER/NAME@REVISION"), or a `Gene`.
        data: training images for methods that train or look at some: a data set of the suite by name ("digits") or with
            options ({"name": "imagefolder", "root": ...}), or (images, labels), uint8 (N, C, H, W) and integers (N,).
        preset: whose recipes a method trains by, and whose base initialization it draws from; a name or a TOML file.
            Without it: the recipes of `digits`, timm's initialization.
        device: where a method trains: "auto", or a device by torch's name, as "cpu" or "cuda:1".
        same_task: True if the model will be trained on the task of the gene or the ancestors, so that their head may be
            inherited.
        settings: the method's options; and the ancestors that its gene is made of, by role, as models
            (`teacher=model` for weight-selection).

    Raises:
        UserError: the method does not exist or does not fit this model, this gene or these ancestors; something that it
            needs is missing. The message says what to give.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"model: a module of torch, not {type(model).__name__}")
    loaded = load_training_data(data) if data is not None else None
    run = _Initialization(method, settings, seed, preset, choose_device(device), same_task, loaded)
    return run.run(model, gene)


class _Initialization:
    """One use of a method on one model."""

    def __init__(
        self,
        method: str | type[Initializer],
        settings: Mapping[str, Any],
        seed: int,
        preset: str | os.PathLike[str] | None,
        device: torch.device,
        same_task: bool,
        data: TrainingData | None,
    ) -> None:
        self.registered = Registry().get(method) if isinstance(method, str) else _own_method(method)
        self.models = {name: value for name, value in settings.items() if isinstance(value, nn.Module)}
        options = {name: value for name, value in settings.items() if name not in self.models}
        self.method = self.create(options)
        self.name = self.method.name
        self.seed, self.device, self.same_task, self.data = seed, device, same_task, data
        self.preset: Preset = load_preset(os.fspath(preset) if preset is not None else "digits")
        self.base = self.preset.base if preset is not None else BaseInitialization()
        self.gene_file: GeneFile | None = None

    def create(self, options: Mapping[str, Any]) -> Initializer:
        """Creates the method; a wrong option is told in words of Python, also an ancestor that is no model."""
        method = self.registered.kind
        for name, value in options.items():
            if name not in method.Options.model_fields and isinstance(value, str | os.PathLike):
                raise UserError(
                    f"{method.name} has no option {name!r}; if it is what the method inherits from, give a model "
                    f"(torch.nn.Module), not {value!r}"
                )
        return self.registered.create(options, where=method.name)

    def check_numbers(self, model: nn.Module) -> None:
        """Raises `UserError` if a model has no numbers yet, as those that are built on the device "meta"."""
        for role, one in {"the model": model, **self.models}.items():
            if any(tensor.is_meta for tensor in (*one.parameters(), *one.buffers())):
                raise UserError(
                    f'{role} is on the device "meta" and holds no numbers: build it on another device, or call '
                    'model.to_empty(device="cpu") and initialize everything in it first'
                )

    def run(self, model: nn.Module, given: Gene | str | os.PathLike[str] | None) -> InitializationReport:
        self.check_numbers(model)
        target = spec_of(model)
        reason = wrong_family(self.method, target)
        if reason is None:
            gene = self.load_gene(given, target)
            sources = [spec for spec in self.inherited_from(gene, target) if spec.family != target.family]
            if not sources:
                return self.run_on(model, target, gene)
            if own := [spec.family for spec in sources if not (has_core(spec) or family_of(target).is_general)]:
                raise UserError(f"{self.name}: it inherits from {own[0]}, and this model is of family {target.family}")
        else:
            gene = self.read_gene(given)
        try:
            core = core_of(model, target)
        except UserError as error:
            raise UserError(
                f"{self.name}: {reason or 'it inherits from a plain Vision Transformer'}; {error}"
            ) from error
        if reason := wrong_family(self.method, core.spec):
            raise UserError(f"{self.name}: {reason}")
        return self.run_on_core(core, model, target, gene)

    def load_gene(self, given: Gene | str | os.PathLike[str] | None, target: ModelSpec) -> Gene | None:
        """Reads the gene that a user gives; checks that the method inherits one, and that nothing else is given."""
        if self.method.gene_request(target, base_of(target)) is None and (given is not None or self.models):
            raise UserError(f"{self.name} inherits nothing: it takes neither a gene nor other models")
        if given is not None and self.models:
            raise UserError(f"give either gene= or {', '.join(f'{role}=' for role in self.models)}, not both")
        return self.read_gene(given)

    def read_gene(self, given: Gene | str | os.PathLike[str] | None) -> Gene | None:
        """Reads a gene, and notes which file it is where it is one: a path, of the package, of the hub."""
        if given is None or isinstance(given, Gene):
            return given
        if not isinstance(given, str | os.PathLike):
            raise UserError(f"gene: a file, a name or a Gene, not {type(given).__name__}")
        self.gene_file = find_gene_file(given)
        return Gene.load(self.gene_file.path)

    def inherited_from(self, gene: Gene | None, target: ModelSpec) -> list[ModelSpec]:
        """Describes the models that the target inherits from: the gene's, or those that the user gives."""
        if gene:
            return [gene.family]
        return [
            described(role, self.models[role]) for role in pretrained_roles(self.method, target) if role in self.models
        ]

    def run_on_core(self, core: Core, model: nn.Module, target: ModelSpec, gene: Gene | None) -> InitializationReport:
        """Initializes the plain Vision Transformer that a model contains, of those that the given models contain."""
        for role in pretrained_roles(self.method, core.spec):
            if role in self.models:
                ancestor = self.models[role]
                try:
                    self.models[role] = core_of(ancestor, described(role, ancestor)).model
                except UserError as error:
                    raise UserError(f"{role}: {error}") from error
        before = {name: parameter.detach().clone() for name, parameter in core.model.named_parameters()}
        report = self.run_on(core.model, core.spec, self.load_gene(gene, core.spec))
        current = {name: parameter.detach().cpu().float() for name, parameter in model.named_parameters()}
        changes = core.changes(before, current)
        write_weights(model, changes)
        linked = {name for part in report.written if part in core.links for name in core.links[part].names}
        written = tuple(name for name in current if name in linked or name in changes)
        unchanged = tuple(name for name in current if name not in written)
        groups = groups_around_core(core, report.parameter_groups)
        return replace(report, written=written, unchanged=unchanged, kept=core.kept, parameter_groups=groups)

    def run_on(self, model: nn.Module, target: ModelSpec, gene: Gene | None) -> InitializationReport:
        """Initializes a model of a family that the method is made for."""
        base, request = self.base_and_request(target, gene)
        reason = self.method.supports(target, base)
        if reason is not None:
            raise UserError(f"{self.name} cannot initialize a model of {target.sizes()}: {reason}")
        family = gene.family if gene else request.family if request else target
        trains, prepared = self.method.trains(), Cost()
        self.check_data(trains, family, "initialize", training_free_option(self.method) if trains else None)
        check_used(self.method, self.recipes(trains, base.width), target, base)
        if request:
            check_used(self.method, self.recipes(request.trains, request.family.width), target, base)
            gene, prepared = self.prepare(request)
        context = self.context("target", target, trains, base.width, family)
        context.size_base = base
        written, unchanged = self.write(model, target, gene, context)
        kept = _missing(unchanged, target, gene.family) if gene else {}
        rates = groups_by_name(self.method, target, base, self.recipes(["finetuning"], base.width)["finetuning"])
        cost, file = context.cost, self.gene_file
        report = InitializationReport(self.name, self.seed, written, unchanged, prepared, cost, gene, kept, rates)
        return replace(report, gene_source=file.source, gene_sha256=file.sha256) if file else report

    def base_and_request(self, target: ModelSpec, gene: Gene | None) -> tuple[ModelSpec, GeneRequest | None]:
        """Returns the base model, and the request for the gene if it is to be made.

        Options that only say which gene or which models are there are set to what was given.
        """
        base = base_of(target)
        if self.method.gene_request(target, base) is None:
            return base, None
        if gene:
            self.method, base = match_gene(self.method, gene, target)
            return base, None
        self.method, base, request = match_models(self.method, self.models, target)
        return base, request

    def check_data(self, trains: Collection[str], family: ModelSpec, phase: str, without: str | None = None) -> None:
        """Checks that training images are there and fit, if the method trains.

        Args:
            without: the option by which the method does without training, if there is one.

        Raises:
            UserError: they are missing, or of another kind.
        """
        if not trains:
            return
        if self.data is None:
            ways = "give data=, a data set by name or (images, labels)" + (f", or {without}" if without else "")
            raise UserError(f"{self.name} trains to {phase} ({', '.join(trains)}), on data that are missing: {ways}")
        self.data.check_fits(family)

    def prepare(self, request: GeneRequest) -> tuple[Gene, Cost]:
        """Makes the gene of copies of the user's models."""
        self.check_data(request.trains, request.family, "make its gene")
        family = request.family
        models = {role: copy.deepcopy(model).cpu().float().eval() for role, model in self.models.items()}
        for role, ancestor in request.ancestors.items():
            if not isinstance(ancestor, Pretrained):
                check_teaches(role, models[role], family)
        flops = AncestorFlops(models, request)
        context = self.context("auxiliary", family, request.trains, family.width, family, models, flops)
        with context.seeded_globally():
            gene = self.registered.create({}).prepare(request, context)
        return gene, context.cost

    def context(
        self,
        role: Role,
        spec: ModelSpec,
        trains: tuple[Any, ...],
        width: int,
        family: ModelSpec,
        models: Mapping[str, nn.Module] | None = None,
        flops: Mapping[str, float] | None = None,
    ) -> MeteredContext:
        recipes = self.recipes(trains, width)
        source = source_data(self.data.splits, family.classes, recipes, self.device) if self.data else None
        return _LibraryContext(
            seed=self.seed,
            device=self.device,
            compute=Compute(),
            base=self.base,
            spec=spec,
            role=role,
            recipes=recipes,
            ancestors=models or {},
            ancestor_flops={} if flops is None else flops,
            same_task=self.same_task,
            source=source,
        )

    def recipes(self, names: Collection[str], width: int) -> dict[str, Recipe]:
        """Looks up the preset's recipes by name, for models of this width."""
        return {name: self.preset.recipe_of(name, width, self.method.recipe_fallbacks) for name in names}

    def write(
        self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: MeteredContext
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Initializes a copy on the CPU, as methods expect it, and then the user's model, whole or not at all."""
        before = {name: parameter.detach().cpu().float() for name, parameter in model.named_parameters()}
        draft = copy.deepcopy(model).cpu().float()
        versions = {name: parameter._version for name, parameter in draft.named_parameters()}
        try:
            with context.seeded_globally():
                self.method.initialize(draft, target, gene, context)
        except (ValueError, RuntimeError, KeyError, IndexError) as error:
            if gene is None:
                raise
            problem = f"cannot make a model of {target.sizes()} from a gene of {gene.family.sizes()}"
            raise UserError(f"{self.name} {problem}: {error}") from error
        after = {name: parameter.detach() for name, parameter in draft.named_parameters()}
        for name, tensor in after.items():
            if not tensor.isfinite().all():
                raise MethodFailure(f"{self.name} left numbers in {name} that are not finite")
        changed = {name for name in after if not torch.equal(after[name], before[name])}
        write_weights(model, {name: after[name] for name in changed})
        # What holds the numbers that it had may have been written all the same: torch counts each change in place.
        rewritten = {name for name, parameter in draft.named_parameters() if parameter._version != versions.get(name)}
        written = tuple(name for name in after if name in changed or name in rewritten)
        return written, tuple(name for name in after if name not in written)


def _own_method(kind: Any) -> Registered:
    """Registers a class that a user gives in place of a name. Raises `UserError` if it is no method."""
    if not (inspect.isclass(kind) and issubclass(kind, Initializer)) or inspect.isabstract(kind):
        raise UserError(f"method: a name, or a class derived from Initializer that has initialize(), not {kind!r}")
    if not isinstance(getattr(kind, "name", None), str):
        raise UserError(f"method: class {kind.__name__} needs a name")
    return Registered(kind, "this program")


def _missing(unchanged: Collection[str], target: ModelSpec, source: ModelSpec) -> dict[str, str]:
    """Lists components that kept their numbers because what the target inherits from has none of that name."""
    theirs = {source.component_of(name) for name in source.parameter_shapes()}
    ours = dict.fromkeys(target.component_of(name) for name in unchanged)
    return {component: "the source has no such part" for component in ours if component not in theirs}


class _LibraryContext(MeteredContext):
    """A context that may have no data; its errors say which argument is missing."""

    def source_images(self, count: int) -> Tensor:
        if self.source is None:
            raise UserError("this method looks at training images: give data=, a data set by name or (images, labels)")
        return super().source_images(count)
