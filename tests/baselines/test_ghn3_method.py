"""GHN-3 as a method: what it leaves alone, and its training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ghn3_models import KINDS, SMALL, TINY, small_hypernetwork
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

from learngene_bench.baselines.ghn3.graph import graph_of
from learngene_bench.baselines.ghn3.initializer import Ghn3, Ghn3Options
from learngene_bench.baselines.ghn3.layout import Layout
from learngene_bench.baselines.ghn3.meta_batch import PENALTY, Family, MetaBatch, start_at_unit_variance
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.baselines.ghn3.prediction import NOISE, predict
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.gene import Gene
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.rng import RngStreams


@pytest.fixture
def hypernetwork() -> Hypernetwork:
    return small_hypernetwork()


def context(target: ViTSpec, seed: int = 0, *, same_task: bool = True) -> MeteredContext:
    base = BaseInitialization(weight_init="xavier", position_std=0.5)
    return MeteredContext(seed, torch.device("cpu"), Compute(), base, target, same_task=same_task)


# --- As an initializer ---


def gene_of(hypernetwork: Hypernetwork, *, published: bool = False) -> Gene:
    tensors = {name: tensor.detach() for name, tensor in hypernetwork.state_dict().items()}
    return Gene("ghn3", TINY, tensors, {"published": published})


def initialized(gene: Gene, target: ViTSpec, where: MeteredContext) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """A target after the method, and its weights before."""
    model = build_model(target)
    before = where.base_weights(target)
    model.load_state_dict(before)
    Ghn3(Ghn3Options()).initialize(model, target, gene, where)
    return model, before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_in_the_graph_keeps_the_base_initialization(hypernetwork: Hypernetwork, kind: str) -> None:
    target = replace(KINDS[kind], depth=2)
    model, before = initialized(gene_of(hypernetwork), target, context(target))
    kept = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert kept == {name for name in before if "rpe_" in name or name == "cls_token"}
    if target.class_token:
        assert torch.equal(model.pos_embed[:, 0], before["pos_embed"][:, 0])
        assert not torch.equal(model.pos_embed[:, 1], before["pos_embed"][:, 1])
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("classes", "same_task"), [(5, False), (20, True), (20, False)])
@pytest.mark.parametrize("published", [False, True])
def test_the_head_of_another_task_keeps_the_base_initialization(
    hypernetwork: Hypernetwork, classes: int, same_task: bool, published: bool
) -> None:
    """Published weights see the target's classes, as in the released code; those trained here their own number."""
    target = replace(TINY, classes=classes)
    seen, other = (target, TINY) if published else (TINY, target)
    with torch.no_grad():
        (expected,), (different,) = (
            predict(hypernetwork, [graph_of(spec)], head=False).weights for spec in (seen, other)
        )
    gene = gene_of(hypernetwork, published=published)
    model, before = initialized(gene, target, context(target, same_task=same_task))
    for name, parameter in model.named_parameters():
        if name.startswith("head."):
            assert torch.equal(parameter, before[name])
            continue
        found = parameter.detach()
        torch.testing.assert_close(found, expected[name], rtol=0, atol=10 * NOISE)
        if classes != TINY.classes:
            assert float((found - different[name]).abs().max()) > 20 * NOISE, name


def test_noise_tells_tiled_copies_apart_and_is_all_that_the_seed_changes(hypernetwork: Hypernetwork) -> None:
    gene = gene_of(hypernetwork)
    models = [initialized(gene, TINY, context(TINY, seed))[0].requires_grad_(False) for seed in (0, 1)]
    rows = models[0].get_parameter("blocks.0.mlp.fc1.weight")
    apart = (rows[0] - rows[16]).abs().max()
    assert 0 < float(apart) < 10 * NOISE
    for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        noisy = one.dim() > 1 and name.startswith(("blocks.", "patch_embed."))
        assert torch.equal(one, other) != noisy, name
        if noisy:
            assert float((one - other).std()) == pytest.approx(math.sqrt(2) * NOISE, rel=0.2)


# --- Training ---


def test_the_loss_is_the_mean_over_models_of_cross_entropy_and_norms(hypernetwork: Hypernetwork) -> None:
    family = Family(replace(TINY, class_token=True))
    network = MetaBatch(hypernetwork, family, 3)
    network.sample_step(torch.Generator().manual_seed(0))
    images, labels = torch.randn(6, 1, 12, 12), torch.arange(6) % 5
    expected = torch.zeros(())
    for spec in network.drawn:
        (weights,) = predict(hypernetwork, [graph_of(spec)]).weights
        model = build_model(spec)
        zeros = {"cls_token": torch.zeros(1, 1, spec.width)}
        weights = {**weights, **zeros, "pos_embed": F.pad(weights["pos_embed"], (0, 0, 1, 0))}
        logits = functional_call(model, weights, (images,))
        norms = sum(weight.norm() for weight in weights.values())
        expected = expected + (F.cross_entropy(logits, labels, label_smoothing=0.1) + PENALTY * norms) / 3
    loss = network(images, labels, 0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    flops, _ = network.step_flops()
    assert flops == sum(spec.forward_flops() for spec in network.drawn)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_models_are_drawn_around_the_base() -> None:
    base = ViTSpec(depth=12, width=384, heads=6, patch_size=16, image_size=224, irpe=True)
    drawn = Family(base).draw(500, torch.Generator().manual_seed(0))
    assert {spec.depth for spec in drawn} == set(range(3, 13))
    assert {spec.width for spec in drawn} == {192, 256, 320, 384, 448, 512, 576}
    assert all((spec.head_dimension, spec.irpe, spec.mlp_ratio) == (64, False, 4.0) for spec in drawn)


def test_training_here_starts_with_matrices_of_variance_two_over_fan_in() -> None:
    torch.manual_seed(0)
    hypernetwork = Hypernetwork(Layout(hidden=24, layers=1, heads=4, classes=5, channels=24))
    start_at_unit_variance(hypernetwork, Family(TINY))
    with torch.no_grad():
        (weights,) = predict(hypernetwork, [graph_of(TINY)]).weights
    for name, weight in weights.items():
        if weight.dim() == 2:
            assert float(weight.var()) == pytest.approx(2 / weight.shape[1], rel=0.4), name


def some_images() -> DeviceImages:
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 5
    images = generator.integers(0, 60, (40, 1, 12, 12)) + labels[:, None, None, None] * 40
    return DeviceImages(Images(images.astype(np.uint8), labels), Normalization((0.4,), (0.3,)), torch.device("cpu"))


class Killed(Exception):
    pass


def run(checkpoint: Path | None = None, kill_at: int | None = None) -> tuple[dict[str, Tensor], TrainResult]:
    torch.manual_seed(0)
    network = MetaBatch(Hypernetwork(SMALL), Family(TINY, depths=(1, 2)), 2, drop_path=0.2)
    steps = 0

    def step(module: nn.Module, _: object) -> None:
        nonlocal steps
        steps += module.training
        if module.training and steps == kill_at:
            raise Killed

    network.register_forward_pre_hook(step)
    recipe = Recipe(iterations=8, batch_size=10, learning_rate=1e-3, grad_clip_norm=5.0, mixup=0.8, label_smoothing=0.1)
    phase = TrainingRun("hypernetwork", RngStreams(0), Compute(checkpoint_seconds=1e-9), 5, checkpoint=checkpoint)
    trained = train(network, some_images(), recipe, phase)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}, trained


def test_a_killed_training_continues_to_the_same_bits_and_the_same_cost(tmp_path: Path) -> None:
    expected, whole = run()
    for kill_at in (6, 2):
        with pytest.raises(Killed):
            run(tmp_path / "checkpoint.pt", kill_at)
    weights, continued = run(tmp_path / "checkpoint.pt")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert continued.curve == whole.curve
    assert (continued.cost.flops, continued.cost.images) == (whole.cost.flops, whole.cost.images)
    assert whole.cost.images == 80
    assert whole.cost.flops > 3 * 80 * 2 * replace(TINY, depth=1, width=16, heads=2).forward_flops()
