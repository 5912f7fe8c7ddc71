"""Networks that say themselves how a batch trains them, such as one that makes other networks' weights."""

from __future__ import annotations

from abc import abstractmethod

from torch import Generator, Tensor, nn


class OwnObjective(nn.Module):
    """A network whose training is more than the cross entropy of its logits; `training.train` asks it for its loss.

    It is measured like any other: `forward(images)` gives logits (B, classes). In training, `draw` comes first, then
    `forward(images, targets, smoothing)` gives the loss, a mean over the images; several processes call it with their
    parts of a batch. It cannot be distilled, and is not compiled.
    """

    @abstractmethod
    def draw(self, generator: Generator) -> None:
        """Draws whatever one step differs by from the others, such as the networks that it trains through.

        Args:
            generator: on the CPU, the same for the same step of a run that was interrupted.
        """

    @abstractmethod
    def step_operations(self) -> tuple[float, float]:
        """Forward operations of the step that was drawn: for each image, and beside the images; known after it."""

    @abstractmethod
    def forward(self, images: Tensor, targets: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """Logits (B, classes), or, with targets, the loss.

        Args:
            targets: labels (B,), or the shares (B, classes) that mixup makes of them.
            smoothing: of the labels.
        """
