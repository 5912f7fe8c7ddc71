"""Segmentation: metrics against plain loops over pixels, the decoders, and that a network learns where classes are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.family import FAMILIES, ModelSpec
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.sampler import AugmentationRng, ScheduledBatch
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.plugins.registry import dataset
from learngene_bench.tasks.kinds.decoders import over_windows, window_starts
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.inputs import new_model
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams

KIND, MASK = task_kind("segmentation"), task_kind("segmentation-mask")
PLAIN, CPU = Normalization((0.0,), (1.0,)), torch.device("cpu")


def facts(classes: int, side: int) -> DatasetFacts:
    return DatasetFacts(classes, 1, side, 8, 8, 8, kind="segmentation")


class Fixed(nn.Module):
    """Gives each image the map of logits that its first pixel numbers."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[(images[:, 0, 0, 0] * 255).round().long()]


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_metrics_are_those_of_a_plain_loop_over_all_pixels(batch_size: int | None) -> None:
    """Class 4 is nowhere, class 3 only predicted, class 0 only ever ignored or wrong in some images."""
    images, classes, side = 7, 5, 6
    random = np.random.default_rng(0)
    labels = random.choice([0, 1, 2, 255], (images, side, side), p=[0.1, 0.3, 0.5, 0.1]).astype(np.uint8)
    logits = random.normal(size=(images, classes, side, side)).astype(np.float32)
    logits[:, 4] = -9
    pixels = np.zeros((images, 1, side, side), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(images)
    data = DeviceImages(Images(pixels, labels), PLAIN, CPU)
    network = Fixed(torch.from_numpy(logits))
    measured, by_class, _ = evaluate(network, data, Compute(), KIND.metrics(), batch_size)

    truth, predicted = labels.ravel(), logits.argmax(1).ravel()
    looked_at = truth != 255
    ious: list[float | None] = []
    accuracies = []
    for c in range(classes):
        hits = sum((t == c) and (p == c) for t, p in zip(truth[looked_at], predicted[looked_at], strict=True))
        either = sum((t == c) or (p == c) for t, p in zip(truth[looked_at], predicted[looked_at], strict=True))
        ious.append(100.0 * hits / either if either else None)
        if (truth == c).any():
            accuracies.append(100.0 * hits / (truth == c).sum())
    assert ious[3:] == [0, None]
    assert next(iter(measured)) == "miou"
    assert measured["miou"] == pytest.approx(np.mean([value for value in ious if value is not None]))
    assert measured["class-accuracy"] == pytest.approx(np.mean(accuracies))
    assert measured["pixel-accuracy"] == pytest.approx(100.0 * (truth == predicted)[looked_at].mean())
    assert by_class == {"miou": pytest.approx(ious)}


def test_metrics_are_those_of_torchmetrics() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    logits, targets = torch.randn(4, 6, 9, 9), torch.randint(0, 5, (4, 9, 9), dtype=torch.uint8)
    targets[:, 2] = 255
    settings: dict[str, Any] = {"num_classes": 6, "ignore_index": 255}
    jaccard = classification.MulticlassJaccardIndex(**settings)(logits, targets.long())
    accuracy = classification.MulticlassAccuracy(**settings, average="micro")(logits, targets.long())
    metrics = KIND.metrics()
    total = metrics["miou"].accumulate(logits, targets)
    assert metrics["miou"].value(total, 4) == pytest.approx(100 * float(jaccard))
    assert metrics["pixel-accuracy"].value(total, 4) == pytest.approx(100 * float(accuracy))


def test_the_loss_is_a_mean_over_the_pixels_that_are_not_ignored() -> None:
    logits, targets = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8)
    targets[0, :2] = 255
    chosen = [(b, y, x) for b in range(2) for y in range(4) for x in range(4) if targets[b, y, x] != 255]
    wanted = -sum(logits[b, :, y, x].log_softmax(0)[targets[b, y, x].long()] for b, y, x in chosen) / len(chosen)
    assert torch.allclose(KIND.loss(logits, targets, 0.0), wanted)
    assert KIND.loss(logits, torch.full_like(targets, 255), 0.0) == 0


def test_pixels_that_come_in_from_outside_are_ignored() -> None:
    pixels = np.random.default_rng(0).integers(1, 200, (9, 1, 6, 6)).astype(np.uint8)
    data = DeviceImages(Images(pixels, pixels[:, 0]), PLAIN, CPU, (Augmentation(shift=2, flip=True),), KIND)
    batch = [ScheduledBatch(torch.arange(9), 0, 0)]
    ((images, labels),) = data.batches(batch, AugmentationRng.of(RngStreams(0), "x", "cpu"))
    seen = (images[:, 0] * 255).round()
    assert (seen == 0).any()
    assert torch.equal(torch.where(seen == 0, 255, seen).byte(), labels)


def examples() -> list[ModelSpec]:
    """One model of every family, and a Vision Transformer with a class token."""
    found = []
    for name in FAMILIES.names():
        first, *others = (
            spec for spec, _ in FAMILIES.get(name)().example_targets(image_size=24, channels=1, classes=150)
        )
        found += [first, *(spec for spec in others if getattr(spec, "class_token", False))]
    return found


@pytest.mark.parametrize("spec", examples(), ids=lambda spec: f"{spec.family} {getattr(spec, 'class_token', '')}")
def test_the_linear_decoder_is_the_head_of_any_model_at_every_position(spec: ModelSpec) -> None:
    model, images = new_model(spec, BaseInitialization(weight_init="xavier"), 0).eval(), torch.randn(2, 1, 24, 24)
    decoder = KIND.adapt(model, facts(150, 24), torch.Generator())
    assert decoder(images).shape == (2, 150, 24, 24)
    added = {n: p for n, p in decoder.named_parameters() if not n.startswith("model.")}
    assert not added
    head = model.get_classifier()  # type: ignore[operator]
    assert sum(p.numel() for p in head.parameters()) == 150 * model.num_features + 150  # type: ignore[operator]
    maps = decoder.at_every_position(images, features=False)
    features = decoder.at_every_position(images, features=True)
    assert torch.allclose(maps, head(features), atol=1e-5)
    if spec.family in ("vit", "swin") and not getattr(spec, "class_token", False):  # they pool after the final norm
        assert torch.allclose(maps.mean((1, 2)), model(images), atol=1e-5)


def test_a_position_of_the_map_stands_where_it_is_in_the_image() -> None:
    """A change of one patch changes the map there, in a model whose positions do not see each other."""
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=16, in_chans=1, num_classes=5, patch_size=4, embed_dim=12, depth=0, num_heads=2
    )
    decoder = KIND.adapt(model.eval(), facts(5, 16), torch.Generator())
    images = torch.zeros(1, 1, 16, 16)
    changed = images.clone()
    changed[0, 0, 4:8, 12:16] = torch.randn(4, 4)
    moved = (decoder.at_every_position(images, features=True) != decoder.at_every_position(changed, features=True)).any(
        -1
    )
    assert moved[0].nonzero().tolist() == [[1, 3]]


def test_the_mask_decoder_has_segmenters_parameters_and_draws_nothing_elsewhere() -> None:
    width, classes = 12, 5
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=16,
        in_chans=1,
        num_classes=0,
        patch_size=4,
        embed_dim=width,
        depth=1,
        num_heads=2,
    )
    before = torch.get_rng_state()
    decoder, again = (MASK.adapt(model, facts(classes, 16), torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    own = {n: p for n, p in decoder.named_parameters() if not n.startswith("model.")}
    assert all(torch.equal(p, dict(again.named_parameters())[n]) for n, p in own.items())
    block = 12 * width**2 + 13 * width
    rest = (width**2 + width) + classes * width + 2 * width + 2 * width**2 + 2 * classes
    assert sum(p.numel() for p in own.values()) == 2 * block + rest
    assert MASK.outputs(facts(classes, 16)) == 0
    logits = decoder.eval()(torch.randn(2, 1, 16, 16))
    assert logits.shape == (2, classes, 16, 16)
    assert logits.isfinite().all()
    assert "model.pos_embed" in decoder.no_weight_decay()


@pytest.mark.parametrize("kind", ["segmentation", "segmentation-mask"])
def test_a_network_learns_where_eight_scenes_have_which_digit(kind: str) -> None:
    data = dataset({"name": "digit-scenes", "noise": 0.0})
    some = data.load().train
    split = Images(some.images[:8], some.labels[:8])
    segmentation = task_kind(kind)
    spec = ViTSpec(
        depth=2, width=32, heads=2, patch_size=4, image_size=24, channels=1, classes=segmentation.outputs(data.facts())
    )
    model = new_model(spec, BaseInitialization(weight_init="xavier", position_std=0.5), 0)
    network = segmentation.adapt(model, data.facts(), torch.Generator().manual_seed(0))
    images = DeviceImages(split, Normalization((0.2,), (0.3,)), CPU)
    recipe = Recipe(
        iterations=450, batch_size=8, learning_rate=2e-3, warmup_epochs=20, weight_decay=0.0, grad_clip_norm=1.0
    )
    run = TrainingRun("finetuning", RngStreams(0), Compute(), spec.classes, segmentation)
    train(network, images, recipe, run)
    assert evaluate(network, images, Compute(), segmentation.metrics()).metrics["pixel-accuracy"] > 95


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (np.zeros((2, 6, 6), np.int64), r"uint8 \(N, 6, 6\), not int64"),
        (np.zeros((2, 6, 5), np.uint8), r"not uint8 \(2, 6, 5\)"),
        (np.full((2, 6, 6), 5, np.uint8), "labels are up to 5, but there are 5 classes"),
        (np.full((2, 6, 6), 255, np.uint8), "every pixel of a split is ignored"),
    ],
)
def test_labels_of_another_kind_are_refused(labels: Any, error: str) -> None:
    partly_ignored = np.full((2, 6, 6), 255, np.uint8)
    partly_ignored[0, 0, 0] = 4
    KIND.check_labels(partly_ignored, facts(5, 6))
    with pytest.raises(UserError, match=error):
        KIND.check_labels(labels, facts(5, 6))


def test_a_model_that_is_not_built_like_timms_is_refused() -> None:
    with pytest.raises(UserError, match="a Linear has no forward_features"):
        KIND.adapt(nn.Linear(2, 2), facts(5, 6), torch.Generator())


@pytest.mark.parametrize(
    ("length", "side", "stride", "starts"),
    [(128, 96, 96, [0, 32]), (96, 96, 96, [0]), (10, 4, 2, [0, 2, 4, 6]), (11, 4, 3, [0, 3, 6, 7]), (5, 4, 3, [0, 1])],
)
def test_the_last_window_is_shifted_inwards(length: int, side: int, stride: int, starts: list[int]) -> None:
    assert window_starts(length, side, stride) == starts


@pytest.mark.parametrize("stride", [3, 4, 5])
def test_logits_are_averaged_where_windows_overlap(stride: int) -> None:
    """Against a loop over windows and pixels; the network gives what depends on the window it is in."""

    def network(images: Tensor) -> Tensor:
        return torch.cat([images * images.mean((1, 2, 3), keepdim=True), images.cumsum(-1)], 1)

    side, images = 5, torch.randn(2, 1, 9, 12, dtype=torch.float64)
    sums, counts = np.zeros((2, 2, 9, 12)), np.zeros((9, 12))
    tops, lefts = ({min(start, size - side) for start in range(0, size, stride)} for size in (9, 12))
    for top in tops:
        for left in lefts:
            part = network(images[:, :, top : top + side, left : left + side]).numpy()
            for y in range(side):
                for x in range(side):
                    sums[:, :, top + y, left + x] += part[:, :, y, x]
                    counts[top + y, left + x] += 1
    np.testing.assert_allclose(over_windows(network, images, side, stride).numpy(), sums / counts)


def test_what_counts_are_the_labels_as_they_are_stored() -> None:
    logits, labels = torch.randn(2, 3, 4, 6), torch.randint(0, 3, (2, 8, 12), dtype=torch.uint8)
    larger = nn.functional.interpolate(logits, (8, 12), mode="bilinear")
    metric = KIND.metrics()["miou"]
    assert torch.equal(metric.accumulate(logits, labels), metric.accumulate(larger, labels))
