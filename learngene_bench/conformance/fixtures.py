"""A tiny benchmark: real digits, ancestors that are really trained, targets of all kinds, in seconds.

`lgbench check` tries methods on it. Its numbers mean nothing; it shows that everything fits together.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import Dataset, Splits
from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES, ModelFamily, ModelSpec
from learngene_bench.contracts.initializer import Ancestor, Distiller, GeneRequest, Initializer, Pretrained
from learngene_bench.models.weights import write_weights
from learngene_bench.plugins.registry import dataset
from learngene_bench.training.ancestors import build_teacher, forward_flops
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import new_model, plain_images, source_data, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.files import canonical
from learngene_bench.util.rng import RngStreams, Role

ITERATIONS, BATCH = 3, 32
CPU = torch.device("cpu")


def _tiny_preset(family: ModelFamily) -> Preset:
    """Returns the preset `digits` with very few images, and a few steps of every recipe."""
    # As few images as there can be for training; one place per digit.
    data = {"name": "digits", "canvas": 12, "placements": 1, "test_digits": 1200, "validation_digits": 400}
    recipe = {"iterations": ITERATIONS, "batch_size": BATCH, "warmup_epochs": 0.0}
    names = [f"recipes.{name}" for name in load_preset("digits").recipes]
    changes = {f"{place}.{key}": value for place in ("teacher.recipe", *names) for key, value in recipe.items()}
    changes |= {f"{name}.drop_path": 0.1 * family.has_drop_path for name in names}
    return load_preset("digits", {"data": data, "teacher.architecture": "convnet", **changes})


@dataclass(frozen=True)
class TinyTarget:
    """A model to initialize.

    Attributes:
        base: the 12-layer model of its size, as in `Initializer.supports`.
        plain_timm: True if it is made by `timm.create_model` and not by the suite.
    """

    spec: ModelSpec
    base: ModelSpec
    plain_timm: bool = False

    def __str__(self) -> str:
        parts = [f"{self.spec.family} {self.spec}"]
        for name, value in vars(self.spec).items():
            expected = getattr(self.base, name)
            if value != expected and name != "depth":
                parts.append(f"{name} {value} where its base has {expected}")
            elif value is True:
                parts.append(f"with {name}")
        return ", ".join(parts)


class TinyBenchmark:
    """Data, recipes, targets and ancestors for methods of one family; ancestors are trained once and then copied.

    Args:
        sibling: the benchmark of another family, whose data and teacher this one has too.
    """

    def __init__(self, family: ModelFamily, sibling: TinyBenchmark | None = None) -> None:
        self.family = family
        self.preset: Preset = _tiny_preset(family)
        self.dataset: Dataset = sibling.dataset if sibling else dataset(self.preset.data)
        self.splits: Splits = sibling.splits if sibling else self.dataset.load()
        self.facts = self.dataset.facts()
        self.plain = plain_images(self.splits.train, self.splits, CPU)
        self._ancestors: dict[tuple[Ancestor, int], tuple[nn.Module, float]] = sibling._ancestors if sibling else {}
        self._models: dict[tuple[TinyTarget, int], nn.Module] = {}

    def targets(self) -> list[TinyTarget]:
        """Lists the family's examples; those with a class token are made by timm."""
        facts = self.facts
        pairs = self.family.example_targets(image_size=facts.image_size, channels=facts.channels, classes=facts.classes)
        return [TinyTarget(spec, base, getattr(spec, "class_token", False)) for spec, base in pairs]

    def model(self, target: TinyTarget, seed: int) -> nn.Module:
        """Copies a target at its base initialization for each caller; to build one takes longer."""
        if (target, seed) not in self._models:
            self._models[target, seed] = self._built(target, seed)
        return copy.deepcopy(self._models[target, seed])

    def _built(self, target: TinyTarget, seed: int) -> nn.Module:
        model = new_model(target.spec, self.preset.base, seed)
        if not target.plain_timm:
            return model
        architecture, arguments = self.family.timm_call(target.spec)
        with torch.random.fork_rng([]):
            plain = timm.create_model(architecture, **arguments)
        write_weights(plain, dict(model.named_parameters()))
        return plain

    def recipes(self, names: tuple[str, ...], width: int, fallbacks: Mapping[str, str]) -> dict[str, Recipe]:
        """Looks up recipes by name; `fallbacks` are those that the method declares."""
        return {name: self.preset.recipe_of(name, width, fallbacks) for name in names}

    def steps(self, recipes: Mapping[str, Recipe]) -> int:
        """Counts the iterations of these recipes together."""
        return sum(recipe.steps(self.facts.train_images) for recipe in recipes.values())

    def context(
        self,
        role: Role,
        spec: ModelSpec,
        recipes: Mapping[str, Recipe],
        seed: int,
        ancestors: Mapping[str, Ancestor] | None = None,
        size_base: ModelSpec | None = None,
        device: torch.device = CPU,
    ) -> MeteredContext:
        """Makes what a method that declares these recipes is given.

        Args:
            role, spec: the target, or the model by which a gene is made.
            ancestors: those of a gene request, for `prepare`.
            size_base: the base that a target belongs to, for `initialize`.
            device: where the method trains; ancestors are handed out on the CPU, as a stage hands them out.
        """
        networks = {role: self.ancestor(wanted, seed) for role, wanted in (ancestors or {}).items()}
        return MeteredContext(
            seed=seed,
            device=device,
            compute=self.preset.compute,
            base=self.preset.base,
            spec=spec,
            role=role,
            recipes=recipes,
            ancestors={role: network for role, (network, _) in networks.items()},
            ancestor_flops={role: flops for role, (_, flops) in networks.items()},
            size_base=size_base,
            source=source_data(self.splits, self.facts.classes, recipes, device),
        )

    def ancestor(self, wanted: Ancestor, seed: int) -> tuple[nn.Module, float]:
        """Copies a trained network for each caller; the number is the operations of its forward pass."""
        key = wanted, self.preset.teacher.seed if isinstance(wanted, Distiller) else seed
        if key not in self._ancestors:
            self._ancestors[key] = self._trained(*key)
        network, flops = self._ancestors[key]
        return copy.deepcopy(network), flops

    def _trained(self, wanted: Ancestor, seed: int) -> tuple[nn.Module, float]:
        network, recipe, flops = self.untrained(wanted, seed)
        run = TrainingRun("pretraining", RngStreams(seed), self.preset.compute, self.facts.classes, forward_flops=flops)
        train(network, training_images(self.splits, recipe, CPU), recipe, run)
        return network.eval(), flops

    def untrained(self, wanted: Ancestor, seed: int) -> tuple[nn.Module, Recipe, float]:
        """Builds an ancestor as its training starts, with its recipe and the operations of its forward pass."""
        if isinstance(wanted, Distiller):
            recipe = self.preset.teacher.recipe
            assert recipe is not None
            network = build_teacher(self.preset.teacher.model_copy(update={"seed": seed}), self.facts)
            return network, recipe, float(forward_flops(network, self.facts))
        if not isinstance(wanted, Pretrained):
            raise TypeError(f"the tiny benchmark has no ancestor of kind {type(wanted).__name__}")
        recipe = self.preset.recipe_of("pretraining", wanted.spec.width)
        model = new_model(wanted.spec, self.preset.base, seed, recipe.drop_path, role="ancestor")
        return model, recipe, wanted.spec.forward_flops()


def families_for(method: type[Initializer[Any, Any]]) -> list[str]:
    """Names the families that a method is tried on: those that it is for, as far as they are installed.

    It meets all targets of the first one: the default family, if it works for any.
    """
    names = FAMILIES.names()
    if method.families is None:
        return [DEFAULT_FAMILY, *(name for name in names if name != DEFAULT_FAMILY)]
    first, *others = method.families
    return [first, *(name for name in others if name in names)]


@lru_cache
def shared_benchmark(family: str) -> TinyBenchmark:
    """The tiny benchmark of a family, for all methods that this process checks: its ancestors take most of the time."""
    sibling = None if family == DEFAULT_FAMILY else shared_benchmark(DEFAULT_FAMILY)
    return TinyBenchmark(FAMILIES.get(family)(), sibling)


def request_key(request: GeneRequest, seed: int) -> tuple[Any, ...]:
    """A key that is equal for requests that share one gene."""
    asked = tuple(request.ancestors.items()), tuple(request.files.items())
    return request.family, *asked, request.trains, canonical(dict(request.settings)), seed


def as_read(request: GeneRequest) -> GeneRequest:
    """Makes the request that `prepare` is given, as a stage reads it from its file: without ancestors."""
    return GeneRequest(
        request.family,
        settings=json.loads(canonical(dict(request.settings))),
        trains=request.trains,
        files=request.files,
    )
