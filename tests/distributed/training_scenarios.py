"""Trainings of small networks, to be computed by one process and by several."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.levit import Levit
from torch import Tensor, nn

from learngene_bench.baselines.ghn3.layout import Layout as Ghn3Layout
from learngene_bench.baselines.ghn3.meta_batch import Family, MetaBatch
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.methods.wave.layout import Layout
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import base_weights, build_model, write_weights
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.rng import RngStreams

SPEC = ViTSpec(depth=2, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)
EVERYTHING = Augmentation(shift=1, flip=True, noise=0.1, color_jitter=0.4, random_erasing=0.25)
CLASSES = 5


class Exact(nn.Module):
    """A network in float64, so that another order of sums shows in the sixteenth digit.

    In float32 rounding would decide about gradients that are zero but for it, of the keys' biases, which Adam blows up.
    """

    def __init__(self, network: nn.Module, image_size: int = 6) -> None:
        super().__init__()
        self.network, self.image_size = network.double(), image_size

    def forward(self, images: Tensor) -> Tensor:
        images = images.double()
        if self.image_size != images.shape[-1]:
            images = F.interpolate(images, self.image_size)
        return self.network(images)


def vision_transformer(drop_path: float = 0.0) -> nn.Module:
    model = build_model(SPEC, drop_path=drop_path)
    write_weights(
        model, base_weights(SPEC, BaseInitialization(weight_init="xavier"), RngStreams(0).generator("weights"))
    )
    return Exact(model)


def expanded() -> nn.Module:
    """WAVE's auxiliary model."""
    weights = base_weights(SPEC, BaseInitialization(weight_init="xavier"), RngStreams(0).generator("weights"))
    layout, generator = Layout(SPEC, 4, 2), torch.Generator().manual_seed(0)
    names = list(SPEC.block_shapes())
    expansion = Expansion(
        SPEC,
        {name: layout.padding(name, SPEC.depth) for name in names},
        {name: layout.initial_templates(name, weights, generator) for name in names},
    )
    stem = {name: weight for name, weight in weights.items() if not name.startswith("blocks.")}
    return Exact(ExpandedModel(expansion, stem))


def drawn(build: Callable[[], nn.Module], image_size: int = 6) -> nn.Module:
    torch.manual_seed(0)
    return Exact(build(), image_size)


class ExactMetaBatch(MetaBatch):
    """A network that computes its loss itself, in float64 too."""

    def forward(self, images: Tensor, targets: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return super().forward(images.double(), targets, smoothing)


def meta_batch() -> nn.Module:
    torch.manual_seed(0)
    hypernetwork = Hypernetwork(Ghn3Layout(hidden=8, layers=1, heads=2, classes=CLASSES, channels=8))
    return ExactMetaBatch(hypernetwork, Family(SPEC, depths=(1, 2)), 2).double()


def levit() -> nn.Module:
    """The smallest of the kind that teaches in the paper."""
    sizes: dict[str, Any] = {"embed_dim": (8, 8, 16), "depth": (1, 1, 1), "num_heads": (1, 1, 2), "key_dim": 4}
    return Levit(img_size=64, in_chans=1, num_classes=CLASSES, drop_path_rate=0.3, **sizes)


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"iterations": 12, "batch_size": 8, "learning_rate": 3e-3, "warmup_epochs": 1, **changes})


MIXED = {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "augmentation": EVERYTHING, "grad_clip_norm": 1.0}
LONG = {"epochs": 30, "iterations": None, "augmentation": Augmentation(shift=1, flip=True, noise=0.05)}
# Nothing is drawn for an image here, so that the averaged gradient of all processes is that of one.
EQUAL: dict[str, tuple[Callable[[], nn.Module], Recipe, dict[str, Any]]] = {
    "uneven shards": (vision_transformer, recipe(batch_size=7, label_smoothing=0.1, grad_clip_norm=1.0), {}),
    "a kept last batch": (vision_transformer, recipe(batch_size=17, drop_last=False, repeated_augmentation=3), {}),
    "condensation": (expanded, recipe(grad_clip_norm=0.1), {"teacher": True}),
    "models of a hypernetwork": (meta_batch, recipe(iterations=4), {}),
}
SCENARIOS = {
    **EQUAL,
    "all of a recipe, an odd batch": (
        partial(vision_transformer, 0.3),
        recipe(batch_size=7, drop_path=0.3, **MIXED),
        {},
    ),
    "drop path and mixup": (
        partial(vision_transformer, 0.1),
        recipe(**LONG, batch_size=7, drop_path=0.1, mixup=0.2),
        {},
    ),
    "batch norm": (partial(drawn, partial(ConvNet, 1, CLASSES, 4)), recipe(**LONG, batch_size=20), {}),
    "LeViT": (partial(drawn, levit, 64), recipe(iterations=4, label_smoothing=0.1), {}),
}


def phase(name: str, **changes: Any) -> TrainingRun:
    return TrainingRun(**{"name": name, "streams": RngStreams(0), "compute": Compute(), "classes": CLASSES, **changes})


def some_images(count: int, *augmentations: Augmentation, device: str = "cpu") -> DeviceImages:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    images = (torch.rand(count, 1, 6, 6, generator=generator) * 60 + labels.view(-1, 1, 1, 1) * 45).to(torch.uint8)
    split = Images(images.numpy(), labels.numpy())
    return DeviceImages(split, Normalization((0.5,), (0.3,)), torch.device(device), augmentations)


def run(
    scenario: str,
    checkpoint: Path | None = None,
    before_step: Callable[[int], None] | None = None,
    device: str = "cpu",
) -> Any:
    """Trains as a scenario says: weights and buffers after it, and the curve."""
    build, how, options = SCENARIOS[scenario]
    network = build().to(device)
    steps = 0

    def count_steps(*_: object) -> None:
        nonlocal steps
        if network.training and before_step:
            before_step(steps)
        steps += network.training

    network.register_forward_pre_hook(count_steps)
    held_out = some_images(33, device=device)
    teacher = drawn(partial(ConvNet, 1, CLASSES, 4)).eval().to(device)
    trained = train(
        network,
        some_images(40, how.augmentation, device=device),
        how,
        phase(
            "finetuning",
            evaluate=lambda trained: evaluate(trained, held_out, Compute(), task_kind().metrics(), batch_size=8),
            teacher=teacher if options.get("teacher") else None,
            compute=Compute(checkpoint_seconds=1e-9 if checkpoint else 1e9),
            measure_start=True,
            checkpoint=checkpoint,
        ),
    )
    curve = [{"top1": point.metrics["top1"], "loss": point.loss} for point in trained.curve if point.metrics]
    return {"weights": network.cpu().state_dict(), "curve": curve}
