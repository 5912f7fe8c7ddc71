"""The benchmark in miniature: real digits, ancestors that are really trained, targets of all kinds, in seconds.

What `lgbench check` shows to a method. Numbers that come of it mean nothing; that everything fits together does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import timm
import torch
from torch import nn

from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.context import Context
from learngene_bench.contracts.initializer import Ancestor, Distiller, GeneRequest, Pretrained
from learngene_bench.models.base_initialization import write_weights
from learngene_bench.models.spec import ModelSpec
from learngene_bench.plugins.registry import dataset
from learngene_bench.training.ancestors import build_teacher, forward_flops
from learngene_bench.training.inputs import new_model, source_data, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.files import canonical
from learngene_bench.util.rng import RngStreams

ITERATIONS, BATCH = 3, 32
WIDTH, HEAD_DIMENSION = 16, 8


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
        spec, base = self.spec, self.base
        parts = [str(spec)]
        if spec.width != base.width:
            parts.append(f"of a family of width {base.width}")
        if spec.head_dimension != base.head_dimension:
            parts.append(f"heads of dimension {spec.head_dimension} and not {base.head_dimension}")
        parts += ["with iRPE"] * spec.irpe + ["with class token"] * spec.class_token
        return ", ".join(parts)


def targets(classes: int, channels: int, image_size: int) -> list[Target]:
    """Targets of several depths and widths, with iRPE and with a class token; some that few methods support."""
    base = ModelSpec(12, WIDTH, WIDTH // HEAD_DIMENSION, 4, image_size, channels, classes)
    wide = replace(base, width=2 * WIDTH, heads=2 * base.heads)
    with_irpe, with_token = replace(base, irpe=True), replace(base, class_token=True)
    return [
        *(Target(base.with_depth(depth), base) for depth in (6, 4, 12, 5, 1, 13)),
        Target(wide.with_depth(6), wide),
        *(Target(with_irpe.with_depth(depth), with_irpe) for depth in (6, 4)),
        Target(with_token.with_depth(6), with_token, plain_timm=True),
        # Grown from a narrower family, evenly and not; shrunk; with other heads.
        Target(wide.with_depth(6), base),
        Target(replace(base, depth=6, width=WIDTH + HEAD_DIMENSION, heads=base.heads + 1), base),
        Target(base.with_depth(6), wide),
        Target(replace(base, depth=6, heads=2 * base.heads), base),
        Target(replace(base, depth=6, mlp_ratio=2.0), base),
    ]


class Miniature:
    """Data, recipes and ancestors; ancestors are trained once and then copied."""

    def __init__(self, recipe_fallbacks: Mapping[str, str] | None = None) -> None:
        self.recipe_fallbacks = recipe_fallbacks or {}
        self.preset: Preset = _tiny_preset()
        self.dataset = dataset(self.preset.data)
        torch.set_num_threads(self.preset.compute.threads)  # as every stage does: sums come in one order
        self.facts, self.splits = self.dataset.facts(), self.dataset.load()
        self._ancestors: dict[tuple[Ancestor, int], tuple[nn.Module, float]] = {}

    def targets(self) -> list[Target]:
        return targets(self.facts.classes, self.facts.channels, self.facts.image_size)

    def model(self, target: Target, seed: int) -> nn.Module:
        """The target at its base initialization."""
        if not target.plain_timm:
            return new_model(target.spec, self.preset.base, seed)
        spec = target.spec
        with torch.random.fork_rng([]):
            model = timm.create_model(
                "deit_tiny_patch16_224",
                img_size=spec.image_size,
                patch_size=spec.patch_size,
                in_chans=spec.channels,
                num_classes=spec.classes,
                embed_dim=spec.width,
                depth=spec.depth,
                num_heads=spec.heads,
            )
        write_weights(model, dict(new_model(spec, self.preset.base, seed).named_parameters()))
        return model

    def recipes(self, names: tuple[str, ...], width: int) -> dict[str, Recipe]:
        return {name: self.preset.recipe_of(name, width, self.recipe_fallbacks) for name in names}

    def steps(self, names: tuple[Any, ...], width: int) -> int:
        """Iterations of these recipes together."""
        return sum(recipe.steps(self.facts.train_images) for recipe in self.recipes(names, width).values())

    def context(self, names: tuple[Any, ...], width: int, seed: int, request: GeneRequest | None = None) -> Context:
        """What a method that declares these recipes is given.

        Args:
            request: whose ancestors are handed over, for `prepare`.
        """
        ancestors = {
            role: self.ancestor(wanted, seed) for role, wanted in (request.ancestors if request else {}).items()
        }
        recipes, cpu = self.recipes(names, width), torch.device("cpu")
        return Context(
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
