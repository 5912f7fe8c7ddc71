"""Training, evaluation and checkpoints work on a simulated GPU, and no training step waits for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from allowed_waits import unexplained
from torch import Tensor, nn

from learngene_bench.baselines.ghn3.layout import Layout
from learngene_bench.baselines.ghn3.meta_batch import Family, MetaBatch
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, RandomCrop, Recipe
from learngene_bench.conformance.simulated_gpu import SimulatedGpu
from learngene_bench.contracts.dataset import DatasetFacts, Splits
from learngene_bench.contracts.family import FAMILIES, ModelSpec
from learngene_bench.contracts.task import TASK_KINDS, task_kind
from learngene_bench.data.splits import Images
from learngene_bench.execution.device import choose_device
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.training.evaluation import Measurement, PredictionsWanted, evaluate
from learngene_bench.training.inputs import new_model, plain_images, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util import interrupt
from learngene_bench.util.rng import RngStreams

# Processes that load images find no GPU for which they would pin memory.
pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")

CPU = torch.device("cpu")
SIDE, CLASSES, BATCH, COUNT = 8, 4, 6, 16
SPEC = ViTSpec(depth=2, width=16, heads=2, patch_size=4, image_size=SIDE, channels=3, classes=CLASSES)


def splits_of(kind: str, side: int = SIDE) -> Splits:
    """Some images; labels are classes, or maps of them with pixels that do not count."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (COUNT, 3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.arange(COUNT) % CLASSES
    if kind != "classification":
        labels = torch.randint(CLASSES, (COUNT, side, side), generator=generator, dtype=torch.uint8)
        labels[:, 0] = 255
    split = Images(images.numpy(), labels.numpy())
    return Splits(split, split, split, (0.5,) * 3, (0.3,) * 3)


def trained(
    device: torch.device,
    build: Callable[[], nn.Module],
    recipe: Recipe,
    kind: str = "classification",
    splits: Splits | None = None,
    **options: Any,
) -> tuple[dict[str, Tensor], list[float | None], Measurement]:
    """Trains and measures a network as a cell does: its weights, the losses, and what was measured last."""
    splits, chosen, compute = splits or splits_of(kind), task_kind(kind), options.pop("compute", Compute())
    network = build().to(device)
    held_out = plain_images(splits.validation, splits, device)
    wanted = PredictionsWanted(chosen, CLASSES, probabilities=True) if chosen.classifies else None
    measure = partial(evaluate, data=held_out, compute=compute, metrics=chosen.metrics(), predictions=wanted)
    if "teacher" in options:
        options["teacher"] = options["teacher"]().to(device).eval()
    settings: dict[str, Any] = {"evaluate": measure, "measure_start": True, "kind": chosen, "compute": compute}
    run = TrainingRun("finetuning", RngStreams(0), classes=CLASSES, **{**settings, **options})
    result = train(network, training_images(splits, recipe, device, kind=chosen), recipe, run)
    measured = measure(network)
    return network.to("cpu").state_dict(), [point.loss for point in result.curve], measured


def rehearse(*arguments: Any, **options: Any) -> None:
    """Trains on the CPU and on the simulated GPU: the same but for rounding, and no wait that is not allowed."""
    _, losses, measured = trained(CPU, *arguments, **options)
    with SimulatedGpu() as gpu:
        weights, found, there = trained(choose_device("cuda"), *arguments, **options)
    assert all(tensor.device == CPU for tensor in weights.values())
    assert found[1:] == pytest.approx(losses[1:], rel=1e-3)
    assert there.metrics == pytest.approx(measured.metrics, rel=0.05, abs=100 / COUNT)
    if measured.predictions:
        assert there.predictions is not None
        assert there.predictions.confidence == pytest.approx(measured.predictions.confidence, abs=1e-2)
    assert unexplained(gpu.waits) == []


def model(spec: ModelSpec = SPEC, drop_path: float = 0.0) -> nn.Module:
    return new_model(spec, BaseInitialization(weight_init="xavier"), 0, drop_path)


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"iterations": 3, "batch_size": BATCH, "learning_rate": 1e-3, **changes})


OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "epochs": ({"epochs": 1.5, "iterations": None},),
    "iterations": ({"iterations": 4},),
    "batch_size": ({"batch_size": 5},),
    "learning_rate": ({"learning_rate": 1e-2},),
    "minimum_learning_rate": ({"minimum_learning_rate": 1e-4},),
    "warmup_epochs": ({"warmup_epochs": 1.0},),
    "warmup_learning_rate": ({"warmup_epochs": 1.0, "warmup_learning_rate": 1e-5},),
    "weight_decay": ({"weight_decay": 0.5},),
    "grad_clip_norm": ({"grad_clip_norm": 0.1},),
    "label_smoothing": ({"label_smoothing": 0.1},),
    "mixup": ({"mixup": 0.8},),
    "cutmix": ({"cutmix": 1.0}, {"cutmix": 1.0, "mixup": 0.8, "label_smoothing": 0.1, "batch_size": 5}),
    "drop_path": ({"drop_path": 0.3},),
    "evaluate_every": ({"evaluate_every": 2, "iterations": 6},),
    "augmentation": (),
    "meta_batch_size": ({"meta_batch_size": 2},),
    "repeated_augmentation": ({"repeated_augmentation": 2},),
    "drop_last": ({"drop_last": False, "epochs": 1, "iterations": None},),
    "optimizer": ({"optimizer": "sgd"},),
    "schedule": ({"schedule": "polynomial"},),
}
AUGMENTATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "shift": ({"shift": 1},),
    "flip": ({"flip": True},),
    "noise": ({"noise": 0.1},),
    "color_jitter": ({"color_jitter": 0.3},),
    "random_erasing": ({"random_erasing": 0.5},),
    "erase_value": ({"random_erasing": 0.5, "erase_value": "noise"},),
    "random_crop": ({"random_crop": RandomCrop(), "flip": True, "color_jitter": 0.2},),
    "auto_augment": ({"auto_augment": "rand-m9-mstd0.5-inc1"},),
}


def test_every_option_is_rehearsed() -> None:
    assert OPTIONS.keys() == Recipe.model_fields.keys()
    assert AUGMENTATIONS.keys() == Augmentation.model_fields.keys()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_recipe_trains_without_a_wait(name: str) -> None:
    for changes in OPTIONS[name]:
        chosen = recipe(**changes)
        rehearse(partial(model, drop_path=chosen.drop_path), chosen)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_needs_no_wait(name: str) -> None:
    for changes in AUGMENTATIONS[name]:
        rehearse(model, recipe(augmentation=Augmentation(**changes)))


def convnet() -> nn.Module:
    torch.manual_seed(0)
    return ConvNet(3, CLASSES, 4)


def test_distillation_needs_no_wait() -> None:
    rehearse(model, recipe(), teacher=convnet, teacher_flops=1.0)


def test_a_network_with_batch_norm_needs_no_wait() -> None:
    rehearse(convnet, recipe())


def meta_batch() -> nn.Module:
    torch.manual_seed(0)
    layout = Layout(hidden=8, layers=1, heads=2, classes=CLASSES, channels=16)
    return MetaBatch(Hypernetwork(layout), Family(SPEC, depths=(1, 2)), 2)


def test_a_network_with_an_objective_of_its_own_needs_no_wait() -> None:
    rehearse(meta_batch, recipe(label_smoothing=0.1))
    rehearse(meta_batch, recipe(mixup=0.8))


def example(family: str) -> ModelSpec:
    """The shallowest of the small examples that `lgbench check` tries."""
    examples = FAMILIES.get(family)().example_targets(image_size=12, channels=3, classes=CLASSES)
    return min((target for target, base in examples if target.width == base.width), key=lambda target: target.depth)


@pytest.mark.parametrize("kind", TASK_KINDS.names())
@pytest.mark.parametrize("family", FAMILIES.names())
def test_every_family_trains_on_every_task(family: str, kind: str) -> None:
    spec, chosen = example(family), task_kind(kind)
    facts = DatasetFacts(CLASSES, 3, 12, COUNT, COUNT, COUNT, kind)

    def build() -> nn.Module:
        return chosen.adapt(model(spec), facts, torch.Generator().manual_seed(0))

    moved = Augmentation(shift=1, flip=True)
    rehearse(build, recipe(iterations=2, augmentation=moved), kind, splits_of(kind, 12))


def test_a_training_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers of the device are kept and restored, so the end is that of a training that was never stopped."""
    drawn = recipe(iterations=6, drop_path=0.4, mixup=0.8, augmentation=Augmentation(shift=1, noise=0.1))
    build = partial(model, drop_path=0.4)
    with SimulatedGpu() as gpu:
        expected, _, _ = trained(gpu.device, build, drawn)
        with monkeypatch.context() as patch:
            asked = iter([False, False, True])
            patch.setattr(interrupt, "stop_requested", lambda: next(asked))
            with pytest.raises(interrupt.Stopped):
                trained(gpu.device, build, drawn, checkpoint=tmp_path / "file.pt")
        state = torch.load(tmp_path / "file.pt", weights_only=True)
        found, _, _ = trained(gpu.device, build, drawn, checkpoint=tmp_path / "file.pt")
    assert state["step"] == 3
    assert state["device"] == "cuda"
    assert state["training"]["cuda"] is not None
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert unexplained(gpu.waits) == []
