"""The teacher of condensation: a small convolutional network, or any model of timm."""

from __future__ import annotations

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from learngene_bench.config import Teacher
from learngene_bench.datasets import DatasetFacts
from learngene_bench.errors import UserError, unknown
from learngene_bench.streams import Streams


def build_teacher(settings: Teacher, facts: DatasetFacts) -> nn.Module:
    """The network that a preset names as teacher; random weights come from its own seed.

    Raises:
        UserError: timm has no such model, or its pretrained weights cannot be had.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(Streams(settings.seed).number("teacher"))
        if settings.architecture == "convnet":
            return ConvNet(facts.channels, facts.classes)
        return _from_timm(settings, facts)


def _from_timm(settings: Teacher, facts: DatasetFacts) -> nn.Module:
    architecture = settings.architecture.partition(".")[0]
    if not timm.is_model(architecture):
        raise unknown(
            "teacher architecture", settings.architecture, ["convnet", *timm.list_models(f"{architecture[:4]}*")]
        )
    try:
        return timm.create_model(
            settings.architecture,
            pretrained=settings.pretrained,
            num_classes=facts.classes,
            in_chans=facts.channels,
        )
    except Exception as error:
        if not settings.pretrained:
            raise
        raise UserError(
            f"pretrained weights of {settings.architecture} cannot be had ({type(error).__name__}): "
            "connect to the hub, or give a file with --set teacher.checkpoint=FILE"
        ) from error


def forward_flops(network: nn.Module, facts: DatasetFacts) -> int:
    """Operations of one image's forward pass, two for a multiply-add, counted by torch on a dummy image."""
    image = torch.zeros(1, facts.channels, facts.image_size, facts.image_size)
    counter = FlopCounterMode(display=False)
    training = network.training
    with torch.no_grad(), counter:
        network.eval()(image)
    network.train(training)
    return counter.get_total_flops()


class ConvNet(nn.Sequential):
    """Four 3 x 3 convolutions with batch norm, one halving of the resolution, mean pooling, a linear head."""

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        stages = []
        for inputs, outputs, stride in [
            (channels, width, 1),
            (width, width, 1),
            (width, 2 * width, 2),
            (2 * width, 2 * width, 1),
        ]:
            stages += [
                nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes))
