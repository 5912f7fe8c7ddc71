"""Builds or loads ancestors: the teacher of condensation, and weights from timm or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from learngene_bench.config.preset import Teacher
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.task import task_kind
from learngene_bench.models.flops import counted_flops
from learngene_bench.models.timm_models import check_pretrained_head, create_timm_model, wrong_head
from learngene_bench.models.weights import spec_of
from learngene_bench.training.loaded_weights import read_loaded_weights
from learngene_bench.util.errors import UserError, first_line
from learngene_bench.util.rng import RngStreams, seed_globally


def build_teacher(settings: Teacher, facts: DatasetFacts) -> nn.Module:
    """Builds the network that a preset names as teacher; random weights come from its own seed.

    Raises:
        UserError: timm has no such model, or its pretrained weights cannot be had.
    """
    drop_path = settings.recipe.drop_path if settings.recipe and not settings.is_loaded else 0.0
    outputs = task_kind(facts.kind).outputs(facts)
    with torch.random.fork_rng([]):
        seed_globally(RngStreams(settings.seed).seed_for("teacher"))
        if settings.architecture == "convnet":
            return ConvNet(facts.channels, outputs, settings.width)
        if settings.pretrained:
            return _pretrained(settings.architecture, outputs, facts.channels, facts.image_size, "teacher.checkpoint")
        return create_timm_model(
            settings.architecture,
            classes=outputs,
            channels=facts.channels,
            image_size=facts.image_size,
            drop_path=drop_path,
        )


def _pretrained(name: str, classes: int, channels: int, image_size: int, instead: str) -> nn.Module:
    """Creates a model of timm with its pretrained weights.

    Args:
        instead: setting that takes a file where the weights cannot be had.

    Raises:
        UserError: timm has no such model, its weights cannot be had, or their head is for another task.
    """
    check_pretrained_head(name, classes, instead)
    try:
        return create_timm_model(name, classes=classes, channels=channels, image_size=image_size, pretrained=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"pretrained weights of {name} cannot be had ({type(error).__name__}): "
            f"connect to the hub, or give a file with --set {instead}=FILE"
        ) from error


def load_from_timm(network: nn.Module, name: str) -> None:
    """Copies timm's pretrained weights into a Vision Transformer of the suite.

    Raises:
        UserError: the model or its weights cannot be had, or it is another architecture.
    """
    spec = spec_of(network)
    loaded = _pretrained(name, spec.classes, spec.channels, spec.image_size, "ancestor.checkpoint")
    _load_state(network, loaded.state_dict(), name, "ancestor.timm")
    if spec_of(loaded).family != spec.family:
        raise UserError(
            f"{name} has the parameters of the model that is needed, and computes something else with them (another "
            "activation, pooling, or order of layers): name another model"
        )


def load_checkpoint(network: nn.Module, path: Path, setting: str) -> None:
    """Loads weights from a file, and prints which where it holds several things; nothing is unpickled.

    Args:
        setting: setting that names the file, for messages.

    Raises:
        UserError: no such file, not such a file, or names or shapes that do not fit.
    """
    state, taken = read_loaded_weights(path, network.state_dict().keys())
    if taken:
        print(f"checkpoint {path}: {taken}")
    _load_state(network, state, str(path), setting)


def _load_state(network: nn.Module, state: Mapping[str, Tensor], where: str, setting: str) -> None:
    needed = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    unlike = [name for name in {**needed, **given} if needed.get(name) != given.get(name)]
    if not unlike:
        network.load_state_dict(state)
        return
    first, both = unlike[0], [name for name in unlike if name in needed and name in given]
    outputs = {(given[name][:1], needed[name][:1]) for name in both}
    if len(both) == len(unlike) and len(outputs) == 1 and all(given[name][1:] == needed[name][1:] for name in both):
        (found,), (classes,) = outputs.pop()
        raise UserError(f"{where}: {wrong_head(f'its head has {found} outputs', classes, setting)}")
    raise UserError(
        f"{where} is not the model that is needed: {first} has shape {given.get(first)}, needed is {needed.get(first)} "
        f"(of {len(needed)} tensors, {len(needed.keys() - given.keys())} are missing, {len(both)} have another shape; "
        f"{len(given.keys() - needed.keys())} are not needed)"
    )


def forward_flops(network: nn.Module, facts: DatasetFacts) -> int:
    """Counts the operations of one image's forward pass, two for a multiply-add, by torch on a dummy image.

    Raises:
        UserError: the network cannot see images of this size.
    """
    shape = (facts.channels, facts.image_size, facts.image_size)
    try:
        return counted_flops(network, shape)
    except (AssertionError, RuntimeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"the teacher, a {type(network).__name__}, fails on images of shape {shape}: {first_line(error)[:200]} "
            "(--set teacher.architecture names another one)"
        ) from error


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
