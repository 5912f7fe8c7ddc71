"""Training steps to compare: the suite's own loop, and timm's, on the same model, batch, recipe and precision.

timm's is the step of its `train.py`: forward under autocast, its loss for soft targets, backward, its gradient
clipping, AdamW as `create_optimizer_v2` makes it by default, the learning rate set for each update.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.models import model_parameters
from timm.models.vision_transformer import VisionTransformer
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import dispatch_clip_grad
from torch import Tensor

from learngene_bench.config.preset import BaseInitialization, Compute, Precision
from learngene_bench.config.recipe import Recipe
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.vit.modules import timm_arguments
from learngene_bench.training.inputs import new_model
from learngene_bench.training.loop import _TrainingLoop
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.rng import RngStreams

StepT = TypeVar("StepT", bound=Callable[[], object])

STEPS = 1_000_000
"""Length of the schedule, longer than any measurement."""
CLIP_NORM = 1.0


def recipe_of(batch: int) -> Recipe:
    """Returns the recipe of pre-training that presets for GPUs have, without augmentation, which is measured apart."""
    return Recipe(
        iterations=STEPS,
        batch_size=batch,
        learning_rate=1e-3,
        grad_clip_norm=CLIP_NORM,
        label_smoothing=0.1,
        mixup=0.8,
        cutmix=1.0,
        drop_path=0.1,
    )


def training_flops(spec: ViTSpec, batch: int) -> float:
    """Counts the operations of a step: forward, and twice as many backward; matrix products only."""
    return 3.0 * batch * spec.forward_flops()


def random_batch(spec: ViTSpec, batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Draws normalised images (B, C, H, W) and labels (B,)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, *spec.image_shape(), generator=generator)
    return images.to(device), torch.randint(spec.classes, (batch,), generator=generator).to(device)


class SuiteStep:
    """The step of the suite's training loop on one batch, again and again.

    Attributes:
        loop: the loop itself; its `compiled` can be replaced, by a network that is compiled in another way.
    """

    def __init__(
        self, spec: ViTSpec, batch: int, device: str, precision: Precision = "bfloat16", *, compiled: bool = False
    ) -> None:
        recipe = recipe_of(batch)
        pixels = np.zeros((batch, *spec.image_shape()), np.uint8)
        split = Images(pixels, np.arange(batch) % spec.classes)
        data = DeviceImages(split, Normalization((0.5,), (0.5,)), torch.device(device))
        network = new_model(spec, BaseInitialization(), 0, recipe.drop_path).to(device)
        compute = Compute(precision=precision, compile=compiled)
        self.loop = _TrainingLoop(network, data, recipe, TrainingRun("benchmark", RngStreams(0), compute, spec.classes))
        self.loop.start()
        self.images, self.labels = random_batch(spec, batch, device)

    def __call__(self) -> None:
        self.loop.train_step(self.images.clone(), self.labels)  # mixup works in place
        self.loop.step += 1

    def mean_loss(self) -> float:
        """Returns the mean loss of the steps since it was last asked for; waits for the device."""
        loss = float(self.loop.losses) / self.loop.loss_count
        self.loop.losses.zero_()
        self.loop.loss_count = 0
        return loss


def timm_step(spec: ViTSpec, batch: int, device: str, precision: Precision = "bfloat16") -> Callable[[], None]:
    """Makes timm's step for the model and the recipe of `SuiteStep`."""
    recipe = recipe_of(batch)
    model = VisionTransformer(**timm_arguments(spec), drop_path_rate=recipe.drop_path).to(device).train()
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.999)
    )
    scheduler = CosineLRScheduler(optimizer, t_initial=STEPS, lr_min=recipe.minimum_learning_rate, t_in_epochs=False)
    mixup = Mixup(recipe.mixup, recipe.cutmix, label_smoothing=recipe.label_smoothing, num_classes=spec.classes)
    loss_of = SoftTargetCrossEntropy().to(device)
    amp = partial(torch.autocast, torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")
    images, labels = random_batch(spec, batch, device)
    updates = 0

    def step() -> None:
        nonlocal updates
        mixed, targets = mixup(images.clone(), labels)
        with amp():
            loss = loss_of(model(mixed), targets)
        loss.backward()
        dispatch_clip_grad(model_parameters(model), value=CLIP_NORM, mode="norm")
        optimizer.step()
        optimizer.zero_grad()
        updates += 1
        scheduler.step_update(num_updates=updates)

    return step


def matrix_products(spec: ViTSpec, batch: int, device: str) -> Callable[[], None]:
    """Makes the matrix products of a training step and nothing else: forward, and two of the same size backward.

    The operands of a layer stay the same for all layers, which is kind to caches: a lower bound of the step's time.
    """
    rows, heads, width = batch * spec.tokens, batch * spec.heads, spec.width
    linear = [(rows, width, 3 * width), (rows, width, width), (rows, width, spec.hidden), (rows, spec.hidden, width)]
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    linears = [(drawn(n, i), drawn(i, o), drawn(n, o), spec.depth) for n, i, o in linear]
    pixels = spec.channels * spec.patch_size**2
    patches = batch * spec.patches
    linears.append((drawn(patches, pixels), drawn(pixels, width), drawn(patches, width), 1))
    query, key, scores = (
        drawn(heads, spec.tokens, spec.head_dimension),
        drawn(heads, spec.tokens, spec.head_dimension),
        drawn(heads, spec.tokens, spec.tokens),
    )

    @torch.no_grad()
    def products() -> None:
        for inputs, weight, outputs, layers in linears:
            for _ in range(layers):
                inputs @ weight
                inputs.t() @ outputs
                if layers > 1:  # nobody needs the gradient of the image
                    outputs @ weight.t()
        for _ in range(2 * spec.depth):  # scores of queries and keys; then the same sizes for scores and values
            torch.bmm(query, key.transpose(1, 2))
            torch.bmm(scores, key)
            torch.bmm(scores.transpose(1, 2), query)

    return products


def warmed_up(make: Callable[[], StepT], device: str, steps: int = 2) -> tuple[StepT, float | None]:
    """Makes a step and takes it a few times.

    Returns:
        The step, and the most memory that it had on the GPU at any time, MiB; None on a CPU.
    """
    if torch.device(device).type != "cuda":
        step = make()
        for _ in range(steps):
            step()
        return step, None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step = make()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return step, (torch.cuda.max_memory_allocated() - before) / 2**20


def fitting_batch(make: Callable[[int], Callable[[], object]], batch: int) -> int:
    """Returns the largest of a batch, its half, its quarter ... whose step fits into the GPU's memory."""
    while batch > 1:
        with suppress(torch.OutOfMemoryError):
            make(batch)()
            return batch
        torch.cuda.empty_cache()
        batch //= 2
    return batch
