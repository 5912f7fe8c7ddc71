"""The initializers without the benchmark: `learngene_bench.initialize(model, "mimetic")` on a timm model of one's own.

>>> model = timm.create_model("deit_tiny_patch16_224")                       # doctest: +SKIP
>>> learngene_bench.initialize(model, "wave", gene="gene.safetensors", learn_scalers=False)   # doctest: +SKIP
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.api.match_gene import base_of, match_gene, match_models, training_free_option
from learngene_bench.api.training_data import DataLike, TrainingData, load_training_data
from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import BaseInitialization, Compute, Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec, family_of
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained, wrong_family
from learngene_bench.execution.device import choose_device
from learngene_bench.models.flops import counted_flops
from learngene_bench.models.weights import spec_of, write_weights
from learngene_bench.planning.recipe_checks import check_used
from learngene_bench.plugins.registry import Registered, Registry
from learngene_bench.schema.cost import Cost
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import source_data
from learngene_bench.util.errors import MethodFailure, UserError
from learngene_bench.util.rng import Role


@dataclass(frozen=True)
class InitializationReport:
    """The result of `initialize`.

    Attributes:
        written: names of the parameters whose numbers changed.
        unchanged: names of the parameters that did not change.
        prepare: cost of making the gene, if it was made here; ancestors are not counted.
        initialize: cost of initializing the model.
        gene: the inherited gene; `report.gene.save(path)` keeps it for other models.
    """

    method: str
    seed: int
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    prepare: Cost
    initialize: Cost
    gene: Gene | None

    def __str__(self) -> str:
        names = self.unchanged
        unchanged = f", unchanged {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}" if names else ""
        spent = [
            f"{name} {cost.iterations} iterations, {cost.seconds:.1f} s"
            for name, cost in (("prepare", self.prepare), ("initialize", self.initialize))
            if cost.images
        ]
        count = len(self.written) + len(self.unchanged)
        return "; ".join(
            [f"{self.method}, seed {self.seed}: wrote {len(self.written)} of {count} tensors{unchanged}", *spent]
        )


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
        gene: what the method inherits: a file (`runs/gene/*/tensors.safetensors` of an `lgbench run`), or a `Gene`.
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
    loaded = load_training_data(data) if data is not None else None
    run = _Initialization(method, settings, seed, preset, _device(device), same_task, loaded)
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
        self.registered = Registry().get(method) if isinstance(method, str) else Registered(method, "this program")
        self.models = {name: value for name, value in settings.items() if isinstance(value, nn.Module)}
        options = {name: value for name, value in settings.items() if name not in self.models}
        self.method = self.registered.create(options)
        self.name = self.method.name
        self.seed, self.device, self.same_task, self.data = seed, device, same_task, data
        self.preset: Preset = load_preset(os.fspath(preset) if preset is not None else "digits")
        self.base = self.preset.base if preset is not None else BaseInitialization()

    def run(self, model: nn.Module, given: Gene | str | os.PathLike[str] | None) -> InitializationReport:
        target = spec_of(model)
        if reason := wrong_family(self.method, target):
            raise UserError(f"{self.name}: {reason}")
        base, gene, request = self.inheritance(target, given)
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
        written, unchanged = self.write(model, target, gene, context)
        return InitializationReport(self.name, self.seed, written, unchanged, prepared, context.cost, gene)

    def inheritance(
        self, target: ModelSpec, given: Gene | str | os.PathLike[str] | None
    ) -> tuple[ModelSpec, Gene | None, GeneRequest | None]:
        """Returns the base model, and either the given gene or the request for the gene to be made.

        Options that only say which gene or which models are there are set to what was given.
        """
        base = base_of(target)
        if self.method.gene_request(target, base) is None:
            if given is not None or self.models:
                raise UserError(f"{self.name} inherits nothing: it takes neither a gene nor other models")
            return base, None, None
        if given is None:
            self.method, base, request = match_models(self.method, self.models, target)
            return base, None, request
        if self.models:
            raise UserError(f"give either gene= or {', '.join(f'{role}=' for role in self.models)}, not both")
        gene = given if isinstance(given, Gene) else Gene.load(Path(given))
        self.method, base = match_gene(self.method, gene, target)
        return base, gene, None

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
        flops: dict[str, float] = {}
        for role, ancestor in request.ancestors.items():
            if isinstance(ancestor, Pretrained):
                spec = spec_of(models[role])
                is_counted = family_of(spec).is_general
                flops[role] = counted_flops(models[role], spec.image_shape()) if is_counted else spec.forward_flops()
            else:
                _check_teaches(role, models[role], family)
                flops[role] = counted_flops(models[role], family.image_shape())
        context = self.context("auxiliary", family, request.trains, family.width, family, models, flops)
        with torch.random.fork_rng([]):
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
            ancestor_flops=flops or {},
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
        try:
            with torch.random.fork_rng([]):
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
        written = tuple(name for name in after if not torch.equal(after[name], before[name]))
        write_weights(model, {name: after[name] for name in written})
        return written, tuple(name for name in after if name not in written)


def _device(name: str) -> torch.device:
    try:
        return choose_device(name)
    except RuntimeError as error:
        raise UserError(f"device {name!r}: torch has no such device") from error


def _check_teaches(role: str, model: nn.Module, family: ModelSpec) -> None:
    """Checks that a model can teach one of this spec.

    Raises:
        UserError: it takes other images or has another number of classes.
    """
    shape = (1, *family.image_shape())
    try:
        with torch.no_grad():
            outputs = tuple(model(torch.zeros(shape)).shape)
    except Exception as error:
        raise UserError(f"{role}: fails on images of shape {shape}: {' '.join(str(error).split())[:200]}") from error
    if outputs != (1, family.classes):
        raise UserError(f"{role}: gives outputs of shape {outputs}, a model of {family.classes} classes is needed")


class _LibraryContext(MeteredContext):
    """A context that may have no data; its errors say which argument is missing."""

    def source_images(self, count: int) -> Tensor:
        if self.source is None:
            raise UserError("this method looks at training images: give data=, a data set by name or (images, labels)")
        return super().source_images(count)
