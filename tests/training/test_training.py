"""The training loop: exact resume, separate random streams, losses, schedule, weight decay."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import base_weights, build_model, write_weights
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.loop import _TrainingLoop, train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import DamagedFile, MethodFailure
from learngene_bench.util.rng import RngStreams

SPEC = ViTSpec(depth=2, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)
EVERYTHING = {
    "batch_size": 7,
    "learning_rate": 3e-3,
    "grad_clip_norm": 1.0,
    "mixup": 0.8,
    "cutmix": 1.0,
    "label_smoothing": 0.1,
    "drop_path": 0.3,
    "warmup_epochs": 1.0,
    "augmentation": Augmentation(shift=1, flip=True, noise=0.1, color_jitter=0.4, random_erasing=0.25),
}


def data(*augmentations: Augmentation, device: str = "cpu") -> DeviceImages:
    random = np.random.default_rng(0)
    labels = np.arange(40) % 5
    images = (random.random((40, 1, 6, 6)) * 60 + labels[:, None, None, None] * 45).astype(np.uint8)
    return DeviceImages(Images(images, labels), Normalization((0.5,), (0.3,)), torch.device(device), augmentations)


def network(drop_path: float = 0.0) -> torch.nn.Module:
    model = build_model(SPEC, drop_path=drop_path)
    write_weights(
        model, base_weights(SPEC, BaseInitialization(weight_init="xavier"), RngStreams(0).generator("weights"))
    )
    return model


class Killed(Exception):
    pass


def run(
    recipe: Recipe, checkpoint: Path | None = None, kill_at: int | None = None, **compute: Any
) -> tuple[Any, TrainResult]:
    """Trains from wherever the checkpoint is; `kill_at` stops it in the middle, as a kill would."""
    model = network(recipe.drop_path)
    held_out = data()
    steps = 0

    def count_steps(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed

    if kill_at:  # a count that changes would let torch.compile compile again at every step
        model.register_forward_pre_hook(lambda module, _: count_steps() if module.training else None)
    phase = TrainingRun(
        name="finetuning",
        streams=RngStreams(0),
        compute=Compute(**compute),
        classes=5,
        evaluate=lambda trained: evaluate(trained, held_out, Compute(), task_kind().metrics())._replace(
            by_class={"halves": [None, 100.0]}
        ),
        measure_start=True,
        checkpoint=checkpoint,
    )
    trained = train(model, data(recipe.augmentation), recipe, phase)
    return model.state_dict(), trained


@pytest.mark.parametrize("kill_at", [2, 6, 13])
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, kill_at: int) -> None:
    """Mixup, drop path, noise and all: weights and curve, killed in the middle of an epoch or not at all."""
    recipe = Recipe(epochs=3, **EVERYTHING)
    expected, uninterrupted = run(recipe)
    checkpoint = tmp_path / "checkpoints" / "finetuning.pt"
    with pytest.raises(Killed):
        run(recipe, checkpoint, kill_at, checkpoint_seconds=1e-9)
    state = torch.load(checkpoint, weights_only=True)
    assert state["step"] == kill_at - 1
    weights, continued = run(recipe, checkpoint, checkpoint_seconds=1e-9)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert continued.curve == uninterrupted.curve
    assert continued.cost.iterations == 15
    assert continued.cost.images == 105


def test_a_finished_phase_is_not_trained_again(tmp_path: Path) -> None:
    recipe = Recipe(iterations=4, batch_size=8, learning_rate=1e-3)
    checkpoint = tmp_path / "finetuning.pt"
    expected, first = run(recipe, checkpoint)
    weights, again = run(recipe, checkpoint, kill_at=1)  # one training step would raise
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert again.curve == first.curve
    assert again.class_metrics == first.class_metrics == {"halves": [None, 100.0]}


@pytest.mark.parametrize(
    "change", [{"step": 10**9}, {"step": -1}, {"step": 4}, {"step": True}, {"step": None}, {"curve": 3}]
)
def test_a_checkpoint_of_a_step_that_is_not_is_no_finished_training(tmp_path: Path, change: dict[str, Any]) -> None:
    recipe = Recipe(iterations=4, batch_size=8, learning_rate=1e-3)
    checkpoint = tmp_path / "finetuning.pt"
    with pytest.raises(Killed):
        run(recipe, checkpoint, 3, checkpoint_seconds=1e-9)
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, **change}, checkpoint)
    with pytest.raises(DamagedFile, match=r"finetuning\.pt: damaged checkpoint \(.*\): move it away and run again"):
        run(recipe, checkpoint)


@pytest.mark.parametrize("content", [{"processes": 1}, {"device": "cpu"}, [1, 2], "text"])
def test_a_file_that_is_no_checkpoint_is_a_damaged_one(tmp_path: Path, content: Any) -> None:
    checkpoint = tmp_path / "finetuning.pt"
    torch.save(content, checkpoint)
    with pytest.raises(DamagedFile, match=r"finetuning\.pt: damaged checkpoint: move it away and run again"):
        run(Recipe(iterations=1, batch_size=8, learning_rate=1e-3), checkpoint)


def test_nobody_elses_random_numbers_change() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    run(Recipe(epochs=1, **EVERYTHING))
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()  # noqa: NPY002


def test_every_method_sees_the_same_batches() -> None:
    """BatchSchedule and augmentation depend on seed and phase, not on the network or on what else is random."""
    seen: list[list[torch.Tensor]] = []
    for drop_path in (0.0, 0.5):
        model, batches = network(drop_path), []
        model.register_forward_pre_hook(lambda module, inputs, kept=batches: kept.append(inputs[0].clone()))
        recipe = Recipe(iterations=6, batch_size=8, learning_rate=1e-3, augmentation=Augmentation(shift=1, noise=0.2))
        train(model, data(recipe.augmentation), recipe, TrainingRun("finetuning", RngStreams(3), Compute(), 5))
        seen.append(batches)
    assert len(seen[0]) == 6
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    assert not torch.equal(seen[0][0], seen[0][5])


def test_an_epoch_sees_every_image_once() -> None:
    labels: list[int] = []
    model = network()
    split = data()
    split.images[:, 0, 0, 0] = torch.arange(40)
    model.register_forward_pre_hook(
        lambda module, inputs: labels.extend((inputs[0][:, 0, 0, 0] * 0.3 * 255 + 0.5 * 255).round().int().tolist())
    )
    train(
        model,
        split,
        Recipe(epochs=2, batch_size=8, learning_rate=1e-3),
        TrainingRun("finetuning", RngStreams(0), Compute(), 5),
    )
    assert sorted(labels[:40]) == sorted(labels[40:]) == list(range(40))
    assert labels[:40] != labels[40:]


def test_distillation_is_kl_of_teacher_to_student() -> None:
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    expected = 0.0
    for s, t in zip(student.softmax(-1), teacher.softmax(-1), strict=True):
        expected += sum(float(p) * math.log(float(p) / float(q)) for p, q in zip(t, s, strict=True)) / 3
    assert float(task_kind().distillation_loss(student, teacher)) == pytest.approx(expected, rel=1e-5)


def test_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    rates: list[float] = []
    recipe = Recipe(iterations=20, batch_size=8, learning_rate=1e-2, minimum_learning_rate=1e-3, warmup_epochs=1)
    model = network()

    def remember(optimizer: torch.optim.Optimizer, *_: object) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    handle = register_optimizer_step_pre_hook(remember)
    try:
        train(model, data(), recipe, TrainingRun("finetuning", RngStreams(0), Compute(), 5))
    finally:
        handle.remove()
    assert rates[0] == pytest.approx(1e-6)
    assert np.allclose(np.diff(rates[:5]), rates[1] - rates[0])  # five steps are one epoch
    expected = [1e-3 + 0.5 * (1e-2 - 1e-3) * (1 + math.cos(math.pi * step / 20)) for step in range(5, 20)]
    assert rates[5:] == pytest.approx(expected)


def test_norms_biases_and_positions_are_not_decayed() -> None:
    """AdamW only decays if gradients are zero."""
    model = network()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.register_full_backward_pre_hook(lambda module, grads: tuple(torch.zeros_like(g) for g in grads))
    recipe = Recipe(iterations=1, batch_size=8, learning_rate=1e-2, weight_decay=0.5)
    train(model, data(), recipe, TrainingRun("finetuning", RngStreams(0), Compute(), 5))
    decayed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert decayed == {name for name in before if before[name].dim() > 1 and name != "pos_embed"}


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = network()
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan")
    with pytest.raises(MethodFailure, match="finetuning: the training loss is nan at iteration 2"):
        train(
            model,
            data(),
            Recipe(iterations=2, batch_size=8, learning_rate=1e-3),
            TrainingRun("finetuning", RngStreams(0), Compute(), 5),
        )


def test_a_metric_that_is_not_finite_is_an_error_also_after_a_finite_loss() -> None:
    """The last step may be the one that diverges: no record could hold what is measured then."""
    measure = partial(evaluate, data=data(), compute=Compute(), metrics=task_kind().metrics())
    recipe = Recipe(iterations=1, batch_size=8, learning_rate=1e30)
    with pytest.raises(MethodFailure, match="nll is nan"):
        train(network(), data(), recipe, TrainingRun("finetuning", RngStreams(0), Compute(), 5, evaluate=measure))


@pytest.mark.parametrize(
    "settings", [{"precision": "bfloat16"}, pytest.param({"compile": True}, marks=pytest.mark.slow)]
)
def test_options_of_compute_change_little(settings: dict[str, Any]) -> None:
    recipe = Recipe(epochs=4, batch_size=8, learning_rate=3e-3)
    plain, _ = run(recipe)
    other, trained = run(recipe, **settings)
    assert trained.curve[-1].loss is not None
    for name in plain:
        torch.testing.assert_close(other[name], plain[name], atol=0.03, rtol=0.1)


@pytest.mark.gpu
def test_no_step_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second step to the last but one: batch, augmentation, mixup, both passes, clipping and optimizer."""
    model = network(0.1).cuda()
    recipe = Recipe(iterations=10, **EVERYTHING)
    split = data(recipe.augmentation, device="cuda")
    phase = TrainingRun("finetuning", RngStreams(0), Compute(), 5)
    step, watched = _TrainingLoop.train_step, list[int]()

    def then_watch(training: _TrainingLoop, images: Tensor, labels: Tensor) -> None:
        step(training, images, labels)
        is_watched = training.step < training.steps - 2  # the last step ends with a measurement
        watched.extend([training.step] if is_watched else [])
        torch.cuda.set_sync_debug_mode("error" if is_watched else "default")

    train(model, split, recipe, phase)  # whatever is made on first use
    monkeypatch.setattr(_TrainingLoop, "train_step", then_watch)
    try:
        train(model, split, recipe, phase)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watched
