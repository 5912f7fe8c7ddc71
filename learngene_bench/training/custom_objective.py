"""Networks that compute their own training loss, such as one that makes other networks' weights."""

from __future__ import annotations

from abc import abstractmethod

from torch import Generator, Tensor, nn


class CustomObjective(nn.Module):
    """A network whose training is more than the loss of its outputs; `training.loop.train` asks it for its loss.

    It is measured like any other: `forward(images)` gives logits (B, classes). In training, `sample_step` comes first,
    then `forward(images, targets, smoothing)` gives the loss, a mean over the images. Several processes call it with
    their shards of a batch, after the same `sample_step`. It cannot be distilled, and is not compiled. The drop path of
    its recipe is its own business: it builds its models with `context.recipes[NAME].drop_path`.
    """

    @abstractmethod
    def sample_step(self, generator: Generator) -> None:
        """Draws what makes one step different from the others, such as the networks that it trains through.

        Args:
            generator: on the CPU; in the same state for the same step of a run that was interrupted.
        """

    @abstractmethod
    def step_flops(self) -> tuple[float, float]:
        """Returns the forward operations of the sampled step, after it: for each image, and beside the images."""

    @abstractmethod
    def forward(self, images: Tensor, targets: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """Computes logits (B, classes), or, with targets, the loss.

        Args:
            targets: labels (B,), or the shares (B, classes) that mixup makes of them.
            smoothing: label smoothing.
        """
