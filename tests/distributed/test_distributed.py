"""Several processes train as one does. As a program, this file is what each of them runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.levit import Levit
from torch import Tensor, nn

from learngene_bench import distributed
from learngene_bench.baselines.ghn3.layout import Layout as Ghn3Layout
from learngene_bench.baselines.ghn3.meta_batch import Family, MetaBatch
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.dataset import Images
from learngene_bench.data.batch_augment import DeviceImages, Normalization, augment
from learngene_bench.data.mixup import RepeatableMixup
from learngene_bench.distributed import Part
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.methods.wave import Layout
from learngene_bench.models.base_initialization import base_weights, write_weights
from learngene_bench.models.spec import ModelSpec
from learngene_bench.models.vit import build_model
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.training.evaluation import top1
from learngene_bench.training.loop import train
from learngene_bench.training.run import Phase
from learngene_bench.util.errors import MethodFailure, UserError
from learngene_bench.util.rng import RngStreams

SPEC = ModelSpec(depth=2, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)
EVERYTHING = Augmentation(shift=1, flip=True, noise=0.1, color_jitter=0.4, random_erasing=0.25)
CLASSES = 5

# What a process has: parts, and what is drawn for them


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("images", [10, 11, 32, 33])
def test_parts_are_the_batch_and_each_is_its_own_mirror_image(images: int, size: int) -> None:
    whole = torch.arange(images)
    parts = [Part.of(images, images, rank, size).select(whole) for rank in range(size)]
    assert torch.equal(torch.cat(parts).sort().values, whole)
    assert sum(Part.of(images, images, rank, size).share for rank in range(size)) == pytest.approx(1)
    for part in parts:
        assert torch.equal(images - 1 - part, part.flip(0))
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_too_many_processes_for_a_batch_are_refused() -> None:
    with pytest.raises(UserError, match=r"a batch of 7 images is too small for 4 processes.* at most 3 processes"):
        Part.of(7, 7, 0, 4)


@pytest.mark.parametrize("images", [12, 13])
def test_parts_are_augmented_and_mixed_as_the_batch_is(images: int) -> None:
    """Bit for bit, and every process's generators end in the same state."""
    originals = torch.rand(images, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    used = images - images % 2
    results = []
    for size in (1, 2, 3):
        batch = torch.zeros(used, 3, 6, 6)
        targets = torch.zeros(used, CLASSES)
        for rank in range(size):
            part = Part.of(images, used, rank, size)
            generators = torch.Generator().manual_seed(2), torch.Generator().manual_seed(3)
            own = augment(part.select(originals), EVERYTHING, *generators, part)
            recipe = Recipe(epochs=1, batch_size=images, learning_rate=1, mixup=0.8, cutmix=1)
            mixup = RepeatableMixup(recipe, CLASSES, number=4)
            mixed = [mixup(own.clone(), part.select(torch.arange(images) % CLASSES)) for _ in range(4)][-1]
            batch[part.select(torch.arange(used))], targets[part.select(torch.arange(used))] = mixed
            states = [generator.get_state() for generator in generators]
        results.append((batch, targets, *states))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert not torch.equal(results[0][0], originals[:used])


# Training: real processes against one


class Exact(nn.Module):
    """A network in float64, so that another order of sums shows in the sixteenth digit.

    In float32 rounding would decide about gradients that are zero but for it, of the keys' biases, which Adam blows up.
    """

    def __init__(self, network: nn.Module, image_size: int = 6) -> None:
        super().__init__()
        self.network, self.image_size = network.double(), image_size

    def forward(self, images: Tensor) -> Tensor:
        images = images.double()
        if self.image_size != images.shape[-1]:
            images = F.interpolate(images, self.image_size)
        return self.network(images)


def vision_transformer(drop_path: float = 0.0) -> nn.Module:
    model = build_model(SPEC, drop_path=drop_path)
    write_weights(
        model, base_weights(SPEC, BaseInitialization(weight_init="xavier"), RngStreams(0).generator("weights"))
    )
    return Exact(model)


def expanded() -> nn.Module:
    """WAVE's auxiliary model."""
    weights = base_weights(SPEC, BaseInitialization(weight_init="xavier"), RngStreams(0).generator("weights"))
    layout, generator = Layout(SPEC, 4, 2), torch.Generator().manual_seed(0)
    names = list(SPEC.block_shapes())
    expansion = Expansion(
        SPEC,
        {name: layout.padding(name, SPEC.depth) for name in names},
        {name: layout.first_templates(name, weights, generator) for name in names},
    )
    stem = {name: weight for name, weight in weights.items() if not name.startswith("blocks.")}
    return Exact(ExpandedModel(expansion, stem, drop_path=0.3))


def drawn(build: Callable[[], nn.Module], image_size: int = 6) -> nn.Module:
    torch.manual_seed(0)
    return Exact(build(), image_size)


class ExactMetaBatch(MetaBatch):
    """A network that computes its loss itself, in float64 too."""

    def forward(self, images: Tensor, targets: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return super().forward(images.double(), targets, smoothing)


def meta_batch() -> nn.Module:
    torch.manual_seed(0)
    hypernetwork = Hypernetwork(Ghn3Layout(hidden=8, layers=1, heads=2, classes=CLASSES, channels=8))
    return ExactMetaBatch(hypernetwork, Family(SPEC, depths=(1, 2)), 2, drop_path=0.3).double()


def levit() -> nn.Module:
    """The smallest of the kind that teaches in the paper."""
    sizes: dict[str, Any] = {"embed_dim": (8, 8, 16), "depth": (1, 1, 1), "num_heads": (1, 1, 2), "key_dim": 4}
    return Levit(img_size=64, in_chans=1, num_classes=CLASSES, drop_path_rate=0.3, **sizes)


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"iterations": 12, "batch_size": 8, "learning_rate": 3e-3, "warmup_epochs": 1, **changes})


MIXED = {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "augmentation": EVERYTHING, "grad_clip_norm": 1.0}
SCENARIOS: dict[str, tuple[Callable[[], nn.Module], Recipe, dict[str, Any]]] = {
    "all of a recipe, an odd batch": (
        partial(vision_transformer, 0.3),
        recipe(batch_size=7, drop_path=0.3, **MIXED),
        {"teacher": True},
    ),
    "a kept last batch": (
        partial(vision_transformer, 0.3),
        recipe(batch_size=17, drop_last=False, repeated_augmentation=3, **MIXED),
        {},
    ),
    "condensation": (expanded, recipe(drop_path=0.3, grad_clip_norm=0.1), {"teacher": True}),
    "batch norm, uneven parts": (partial(drawn, partial(ConvNet, 1, CLASSES, 4)), recipe(batch_size=9), {}),
    "timm's batch norm with activation": (
        partial(drawn, partial(timm.create_model, "test_efficientnet", num_classes=5, in_chans=1, drop_path_rate=0.3)),
        recipe(iterations=4, **MIXED),
        {},
    ),
    "models of a hypernetwork": (meta_batch, recipe(iterations=4, **MIXED), {}),
    "LeViT": (partial(drawn, levit, 64), recipe(iterations=4, label_smoothing=0.1), {}),
}


def phase(name: str, **changes: Any) -> Phase:
    return Phase(**{"name": name, "streams": RngStreams(0), "compute": Compute(), "classes": CLASSES, **changes})


def some_images(count: int, *augmentations: Augmentation, device: str = "cpu") -> DeviceImages:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    images = (torch.rand(count, 1, 6, 6, generator=generator) * 60 + labels.view(-1, 1, 1, 1) * 45).to(torch.uint8)
    split = Images(images.numpy(), labels.numpy())
    return DeviceImages(split, Normalization((0.5,), (0.3,)), torch.device(device), augmentations)


class Killed(Exception):
    pass


def run(
    scenario: str,
    checkpoint: Path | None = None,
    before_step: Callable[[int], None] | None = None,
    device: str = "cpu",
) -> Any:
    """Trains as a scenario says: weights and buffers after it, and the curve."""
    build, how, options = SCENARIOS[scenario]
    network = build().to(device)
    steps = 0

    def count_steps(*_: object) -> None:
        nonlocal steps
        if network.training and before_step:
            before_step(steps)
        steps += network.training

    network.register_forward_pre_hook(count_steps)
    held_out = some_images(33, device=device)
    teacher = drawn(partial(ConvNet, 1, CLASSES, 4)).eval().to(device)
    trained = train(
        network,
        some_images(40, how.augmentation, device=device),
        how,
        phase(
            "tuning",
            evaluate=lambda trained: top1(trained, held_out, Compute(), batch_size=8),
            teacher=teacher if options.get("teacher") else None,
            compute=Compute(checkpoint_seconds=1e-9 if checkpoint else 1e9),
            measure_start=True,
            checkpoint=checkpoint,
        ),
    )
    return {"weights": network.cpu().state_dict(), "curve": trained.curve}


def same(one: Any, other: Any) -> None:
    """Weights to 1e-6, where one step moves them by about the learning rate of 3e-3.

    The loss is computed in float32 whatever the network's numbers, and a gradient of an odd part is rounded there.
    """
    assert one["weights"].keys() == other["weights"].keys()
    for name, weight in one["weights"].items():
        torch.testing.assert_close(
            other["weights"][name], weight, atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert [entry["top1"] for entry in other["curve"]] == [entry["top1"] for entry in one["curve"]]
    losses, expected = ([entry["loss"] for entry in curve[1:]] for curve in (other["curve"], one["curve"]))
    assert losses == pytest.approx(expected, rel=1e-5)


def processes(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs this file as a program in as many processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run([*torchrun, __file__, *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module", params=[2, 3])
def trained_together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All scenarios in as many processes, and one continued from where one process was killed."""
    folder = tmp_path_factory.mktemp("together")

    def kill(step: int) -> None:
        if step == 7:
            raise Killed

    with pytest.raises(Killed):
        run("all of a recipe, an odd batch", folder / "continued.pt", kill)
    done = processes(request.param, "train", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_processes_train_as_one_does(trained_together: Path, scenario: str) -> None:
    expected = run(scenario)
    assert len(expected["curve"]) > 1
    same(expected, torch.load(trained_together / f"{scenario}.pt"))


@pytest.mark.slow
def test_what_one_process_began_others_continue(trained_together: Path) -> None:
    same(run("all of a recipe, an odd batch"), torch.load(trained_together / "continued.pt.end"))


@pytest.mark.slow
def test_what_two_killed_processes_began_one_continues(tmp_path: Path) -> None:
    checkpoint = tmp_path / "tuning.pt"
    done = processes(2, "kill", checkpoint)
    assert "SIGKILL" in done.stderr
    assert torch.load(checkpoint)["step"] == 7
    same(run("all of a recipe, an odd batch"), run("all of a recipe, an odd batch", checkpoint))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "unused",
            "tuning: the loss does not depend on network.unused, which is to be trained; with several processes ",
        ),
        ("dropout", r"several processes cannot train a network with dropout \(network.dropout\); use drop path"),
    ],
)
def test_what_would_not_be_the_same_is_refused(trained_together: Path, name: str, error: str) -> None:
    assert re.match(error, (trained_together / f"{name}.txt").read_text())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one_does(tmp_path: Path) -> None:
    done = processes(2, "train", tmp_path, "cuda")
    assert done.returncode == 0, done.stderr
    for scenario in SCENARIOS:
        same(run(scenario, device="cuda"), torch.load(tmp_path / f"{scenario}.pt"))


class Unused(ConvNet):
    def __init__(self) -> None:
        super().__init__(1, CLASSES, 4)
        self.register_parameter("unused", nn.Parameter(torch.zeros(3)))


class WithDropout(ConvNet):
    def __init__(self) -> None:
        super().__init__(1, CLASSES, 4)
        self.add_module("dropout", nn.Dropout(0.1))


def train_all(folder: Path, device: str = "cpu") -> None:
    leads = distributed.world().leads
    for scenario in SCENARIOS:
        result = run(scenario, device=device)
        if leads:
            torch.save(result, folder / f"{scenario}.pt")
    if (folder / "continued.pt").exists():
        result = run("all of a recipe, an odd batch", folder / "continued.pt")
        if leads:
            torch.save(result, folder / "continued.pt.end")
    for name, network in {"unused": Unused(), "dropout": WithDropout()}.items():
        with pytest.raises(MethodFailure) as failure:
            train(Exact(network), some_images(40), recipe(), phase("tuning"))
        (folder / f"{name}.txt").write_text(str(failure.value))


def kill_all(checkpoint: Path) -> None:
    def kill(step: int) -> None:
        if step == 7:
            torch.distributed.barrier()  # rank 0 has written
            os.kill(os.getpid(), signal.SIGKILL)

    run("all of a recipe, an odd batch", checkpoint, kill)


def main(what: str, path: str, *device: str) -> None:
    world = distributed.join()
    torch.set_num_threads(1)
    if device:
        torch.cuda.set_device(world.gpu())
    world.form_group(world.next_store())
    {"train": train_all, "kill": kill_all}[what](Path(path), *device)
    world.end_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
