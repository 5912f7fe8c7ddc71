"""A training that is killed and continues from its checkpoint, against one that was never killed, on the device."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from supervised import Report, Verdict
from torch import Tensor, nn

from gpu_parts.plan import Settings
from learngene_bench.config.preset import BaseInitialization, Compute, Precision
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.inputs import new_model
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.rng import RngStreams

STEPS, KILLED_AT = 20, 11
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}
"""Largest relative difference of weights. On a GPU some sums have no fixed order, so bits may differ."""
EVERYTHING = Recipe(
    iterations=STEPS,
    batch_size=32,
    learning_rate=1e-3,
    grad_clip_norm=1.0,
    mixup=0.8,
    cutmix=1.0,
    label_smoothing=0.1,
    drop_path=0.2,
    warmup_epochs=1.0,
    augmentation=Augmentation(shift=2, flip=True, noise=0.1, color_jitter=0.4, random_erasing=0.25),
)
SPEC = ViTSpec(depth=4, width=96, heads=3, patch_size=4, image_size=32, classes=10)


class Killed(Exception):
    pass


def measure(settings: Settings, report: Report) -> None:
    spec = settings.choose(SPEC, replace(SPEC, depth=2, width=24, image_size=16))
    device = settings.device
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        whole = weights_after(spec, device, precision)
        again = weights_after(spec, device, precision)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / "training.pt"
            try:
                weights_after(spec, device, precision, checkpoint, KILLED_AT)
            except Killed:
                continued = weights_after(spec, device, precision, checkpoint)
        for what, other in {"twice the same": again, f"killed at step {KILLED_AT}, continued": continued}.items():
            found = difference(whole, other)
            verdict: Verdict = "ok" if found <= TOLERANCE[precision] else "wrong"
            values = {"difference of weights": found, "tolerance": TOLERANCE[precision], "same bits": found == 0.0}
            report.add(f"{precision}, {what}", values, verdict=verdict)


def weights_after(
    spec: ViTSpec, device: str, precision: Precision, checkpoint: Path | None = None, kill_at: int | None = None
) -> dict[str, Tensor]:
    """Trains from wherever the checkpoint is; `kill_at` ends it in the middle of that step."""
    model = new_model(spec, BaseInitialization(weight_init="xavier"), 0, EVERYTHING.drop_path).to(device)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4 * EVERYTHING.batch_size, *spec.image_shape()), dtype=np.uint8)
    split = Images(pixels, random.integers(0, spec.classes, len(pixels)))
    data = DeviceImages(split, Normalization((0.5,), (0.5,)), torch.device(device), (EVERYTHING.augmentation,))
    steps = 0

    def count(module: nn.Module, inputs: object) -> None:
        nonlocal steps
        steps += module.training
        if steps == kill_at:
            raise Killed

    model.register_forward_pre_hook(count)
    compute = Compute(precision=precision, checkpoint_seconds=1e-9)
    run = TrainingRun("finetuning", RngStreams(0), compute, spec.classes, checkpoint=checkpoint)
    train(model, data, EVERYTHING, run)
    return model.state_dict()


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Returns the distance of all weights over their norm; 0 only for the same bits."""
    flat, others = (torch.cat([tensor.flatten().double() for tensor in each.values()]) for each in (one, other))
    return float((flat - others).norm() / flat.norm())
