"""A task kind in one file: which class has each pixel? With its data set, its metrics, and a decoder for any ViT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from learngene_bench import Dataset, DatasetFacts, Metric, MetricSpec, Splits, TaskKind, UserError
from learngene_bench.data.splits import Images
from learngene_bench.util.lazy import torch

SIDE, CLASSES, OUTSIDE = 12, 3, -1


class Squares(Dataset):
    """Two squares, a light and a dark one, on a noisy ground: 0 is the ground, 1 and 2 are the squares."""

    def facts(self) -> DatasetFacts:
        return DatasetFacts(
            classes=CLASSES,
            channels=1,
            image_size=SIDE,
            train_images=320,
            validation_images=64,
            test_images=96,
            kind="pixels",
        )

    def fingerprint(self) -> str:
        return "squares, version 1"

    def load(self) -> Splits:
        train, validation, test = (self._draw(count, seed) for seed, count in enumerate((320, 64, 96)))
        return Splits(train, validation, test, mean=(0.5,), std=(0.25,))

    def _draw(self, count: int, seed: int) -> Images:
        import numpy as np

        random = np.random.default_rng(seed)
        images = random.normal(128, 20, (count, 1, SIDE, SIDE))
        labels = np.zeros((count, SIDE, SIDE), np.int64)
        for image, label in zip(images, labels, strict=True):
            for value, brightness in ((1, 220), (2, 40)):
                top, left = random.integers(0, SIDE - 5, 2)
                image[0, top : top + 5, left : left + 5] = brightness
                label[top : top + 5, left : left + 5] = value
        return Images(images.clip(0, 255).astype(np.uint8), labels)


class Pixels(TaskKind):
    """Labels are class indices (N, height, width), -1 where a pixel is not to be looked at."""

    name = "pixels"
    primary_metric = "mean-iou"
    moves_labels = True

    def loss(self, outputs: Any, targets: Any, smoothing: float) -> Any:
        return torch.nn.functional.cross_entropy(outputs.float(), targets, ignore_index=OUTSIDE)

    def adapt(self, model: Any, facts: DatasetFacts, generator: Any) -> Any:
        return _decoder(model, facts.image_size, generator)

    def check_labels(self, labels: Any, facts: DatasetFacts) -> None:
        if labels.shape[1:] != (facts.image_size, facts.image_size):
            raise UserError(f"labels are maps of the images, not of shape {labels.shape}")

    def move_labels(self, labels: Any, move: Callable[[Any], Any]) -> Any:
        return move(labels.unsqueeze(1) - OUTSIDE).squeeze(1) + OUTSIDE


def _decoder(model: Any, side: int, generator: Any) -> Any:
    """The head of a Vision Transformer at every token, drawn larger, and a convolution."""
    import torch

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.smooth = torch.nn.Conv2d(CLASSES, CLASSES, 3, padding=1, bias=False)
            torch.nn.init.dirac_(self.smooth.weight)
            with torch.no_grad():
                self.smooth.weight += 0.01 * torch.randn(self.smooth.weight.shape, generator=generator)

        def forward(self, images: Any) -> Any:
            tokens = self.model.forward_features(images)[:, self.model.num_prefix_tokens :]
            logits = self.model.head(self.model.fc_norm(tokens)).transpose(1, 2)
            patches = round(logits.shape[-1] ** 0.5)
            maps = logits.reshape(len(images), -1, patches, patches)
            return self.smooth(torch.nn.functional.interpolate(maps, side, mode="bilinear"))

    return Decoder()


class MeanIou(Metric):
    """Intersection over union, a mean over the classes; its sum has two numbers for each class."""

    spec = MetricSpec(name="mean-iou", title="Mean IoU", unit="%", bounds=(0.0, 100.0))
    task_kinds: ClassVar[tuple[str, ...]] = ("pixels",)

    def accumulate(self, outputs: Any, targets: Any) -> Any:
        hits = torch.nn.functional.one_hot(outputs.argmax(1), CLASSES).bool()
        wanted = torch.nn.functional.one_hot(targets, CLASSES).bool()
        return torch.stack([(hits & wanted).sum((0, 1, 2)), (hits | wanted).sum((0, 1, 2))])

    def value(self, total: Any, images: int) -> float:
        return 100.0 * float((total[0] / total[1]).mean())
