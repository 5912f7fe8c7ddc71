"""The benchmark in miniature: real digits, ancestors that are really trained, targets of all kinds, in seconds.

What `lgbench check` shows to a method. Numbers that come of it mean nothing; that everything fits together does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn

from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelFamily, ModelSpec
from learngene_bench.contracts.initializer import Ancestor, Distiller, GeneRequest, Pretrained
from learngene_bench.models.weights import write_weights
from learngene_bench.plugins.registry import dataset
from learngene_bench.training.ancestors import build_teacher, forward_flops
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import new_model, source_data, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.files import canonical
from learngene_bench.util.rng import RngStreams

ITERATIONS, BATCH = 3, 32


def _tiny_preset() -> Preset:
    """Returns the preset `digits` with very few images, and a few steps of every recipe."""
    # As few images as there can be for training; one place per digit.
    data = {"name": "digits", "canvas": 12, "placements": 1, "test_digits": 1200, "validation_digits": 400}
    recipe = {"iterations": ITERATIONS, "batch_size": BATCH, "warmup_epochs": 0.0, "drop_path": 0.1}
    places = ["teacher.recipe", *(f"recipes.{name}" for name in load_preset("digits").recipes)]
    changes = {f"{place}.{key}": value for place in places for key, value in recipe.items()}
    return load_preset("digits", {"data": data, "teacher.architecture": "convnet", **changes})


@dataclass(frozen=True)
class Target:
    """A model to initialize.

    Attributes:
        base: the 12-layer model of its size, as in `Initializer.supports`.
        plain_timm: whether it is made by `timm.create_model` and not by the suite.
    """

    spec: ModelSpec
    base: ModelSpec
    plain_timm: bool = False

    def __str__(self) -> str:
        parts = [str(self.spec)]
        for name, value in vars(self.spec).items():
            expected = getattr(self.base, name)
            if value != expected and name != "depth":
                parts.append(f"{name} {value} where its base has {expected}")
            elif value is True:
                parts.append(f"with {name}")
        return ", ".join(parts)


class Miniature:
    """Data, recipes and ancestors; ancestors are trained once and then copied."""

    def __init__(self, family: ModelFamily, recipe_fallbacks: Mapping[str, str] | None = None) -> None:
        self.family = family
        self.recipe_fallbacks = recipe_fallbacks or {}
        self.preset: Preset = _tiny_preset()
        self.dataset = dataset(self.preset.data)
        torch.set_num_threads(self.preset.compute.threads)  # as every stage does: sums come in one order
        self.facts, self.splits = self.dataset.facts(), self.dataset.load()
        self._ancestors: dict[tuple[Ancestor, int], tuple[nn.Module, float]] = {}

    def targets(self) -> list[Target]:
        """What the family shows of itself; a plain timm DeiT among it if timm has such models."""
        facts = self.facts
        pairs = self.family.example_targets(image_size=facts.image_size, channels=facts.channels, classes=facts.classes)
        return [Target(spec, base, getattr(spec, "class_token", False)) for spec, base in pairs]

    def model(self, target: Target, seed: int) -> nn.Module:
        """The target at its base initialization."""
        if not target.plain_timm:
            return new_model(target.spec, self.preset.base, seed)
        spec = target.spec
        architecture, arguments = self.family.timm_call(spec)
        with torch.random.fork_rng([]):
            model = timm.create_model(architecture, **arguments)
        write_weights(model, dict(new_model(spec, self.preset.base, seed).named_parameters()))
        return model

    def recipes(self, names: tuple[str, ...], width: int) -> dict[str, Recipe]:
        return {name: self.preset.recipe_of(name, width, self.recipe_fallbacks) for name in names}

    def steps(self, names: tuple[Any, ...], width: int) -> int:
        """Iterations of these recipes together."""
        return sum(recipe.steps(self.facts.train_images) for recipe in self.recipes(names, width).values())

    def context(
        self, names: tuple[Any, ...], width: int, seed: int, request: GeneRequest | None = None
    ) -> MeteredContext:
        """What a method that declares these recipes is given.

        Args:
            request: whose ancestors are handed over, for `prepare`.
        """
        ancestors = {
            role: self.ancestor(wanted, seed) for role, wanted in (request.ancestors if request else {}).items()
        }
        recipes, cpu = self.recipes(names, width), torch.device("cpu")
        return MeteredContext(
            seed=seed,
            device=cpu,
            compute=self.preset.compute,
            base=self.preset.base,
            recipes=recipes,
            ancestors={role: network for role, (network, _) in ancestors.items()},
            ancestor_flops={role: flops for role, (_, flops) in ancestors.items()},
            source=source_data(self.splits, self.facts.classes, recipes, cpu),
        )

    def ancestor(self, wanted: Ancestor, seed: int) -> tuple[nn.Module, float]:
        """A trained network of its own for each caller, and the operations of its forward pass."""
        if (wanted, seed) not in self._ancestors:
            self._ancestors[wanted, seed] = self._trained(wanted, seed)
        network, flops = self._ancestors[wanted, seed]
        return copy.deepcopy(network), flops

    def _trained(self, wanted: Ancestor, seed: int) -> tuple[nn.Module, float]:
        network: nn.Module
        if isinstance(wanted, Distiller):
            teacher = self.preset.teacher
            assert teacher.recipe is not None
            network, recipe, seed = build_teacher(teacher, self.facts), teacher.recipe, teacher.seed
            flops = float(forward_flops(network, self.facts))
        elif isinstance(wanted, Pretrained):
            recipe = self.preset.recipe_of("pretraining", wanted.spec.width)
            network, flops = (
                new_model(wanted.spec, self.preset.base, seed, recipe.drop_path),
                wanted.spec.forward_flops(),
            )
        else:
            raise TypeError(f"no miniature of an ancestor of kind {type(wanted).__name__}")
        phase = TrainingRun(
            "pretraining", RngStreams(seed), self.preset.compute, self.facts.classes, forward_flops=flops
        )
        train(network, training_images(self.splits, recipe, torch.device("cpu")), recipe, phase)
        return network.eval(), flops


def request_key(request: GeneRequest, seed: int) -> tuple[Any, ...]:
    """Equal for requests that share one gene."""
    asked = tuple(request.ancestors.items()), tuple(request.files.items())
    return request.family, *asked, request.trains, canonical(dict(request.settings)), seed
