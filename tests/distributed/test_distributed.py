"""Several processes train as well as one does. As a program, this file is what each of them runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from timm.models.levit import Levit
from torch import Tensor, nn

from learngene_bench import distributed
from learngene_bench.baselines.ghn3.layout import Layout as Ghn3Layout
from learngene_bench.baselines.ghn3.meta_batch import Family, MetaBatch
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.distributed import Shard
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.methods.wave import Layout
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import base_weights, build_model, write_weights
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import MethodFailure, UserError
from learngene_bench.util.rng import RngStreams

SPEC = ViTSpec(depth=2, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)
EVERYTHING = Augmentation(shift=1, flip=True, noise=0.1, color_jitter=0.4, random_erasing=0.25)
CLASSES = 5

# Shares of a batch


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("images", [10, 11, 32, 33])
@pytest.mark.parametrize("multiple", [1, 2])
def test_shards_are_the_batch(images: int, size: int, multiple: int) -> None:
    shards = [Shard.of(images, rank, size, multiple) for rank in range(size)]
    assert [row for shard in shards for row in range(shard.first, shard.end)] == list(range(images))
    trained = [(shard.end - shard.first) // multiple * multiple for shard in shards]
    assert max(trained) - min(trained) <= multiple
    assert [shard.fraction for shard in shards] == pytest.approx([count / sum(trained) for count in trained])


@pytest.mark.parametrize(
    ("multiple", "error"),
    [(1, "a batch of 3 images cannot be shared out among 4 processes: at most 3"), (2, "shared out in pairs among 4")],
)
def test_too_many_processes_for_a_batch_are_refused(multiple: int, error: str) -> None:
    with pytest.raises(UserError, match=error):
        Shard.of(3, 0, 4, multiple)


def test_each_rank_has_streams_of_its_own_and_rank_0_those_of_a_process_alone() -> None:
    alone = RngStreams(3)
    assert alone.for_rank(0, start=5).seed_for("mixup") == alone.seed_for("mixup")
    seeds = {alone.for_rank(rank, start).seed_for("mixup") for rank in range(3) for start in (0, 5)}
    assert len(seeds) == 5


def test_batch_norm_that_is_made_common_keeps_its_tensors_and_works_alone() -> None:
    """On GPUs `train` replaces it, also timm's; the network is saved, and measured on a CPU, as it was before."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), BatchNormAct2d(4), nn.Conv2d(4, 1, 3), ConvNet(1, CLASSES, 4)).eval()
    images = torch.rand(4, 1, 8, 8)
    names, expected = network.state_dict().keys(), network(images)
    assert convert_sync_batchnorm(network) is network
    assert any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network.state_dict().keys() == names
    assert torch.equal(network(images), expected)


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
        {name: layout.initial_templates(name, weights, generator) for name in names},
    )
    stem = {name: weight for name, weight in weights.items() if not name.startswith("blocks.")}
    return Exact(ExpandedModel(expansion, stem))


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
    return ExactMetaBatch(hypernetwork, Family(SPEC, depths=(1, 2)), 2).double()


def levit() -> nn.Module:
    """The smallest of the kind that teaches in the paper."""
    sizes: dict[str, Any] = {"embed_dim": (8, 8, 16), "depth": (1, 1, 1), "num_heads": (1, 1, 2), "key_dim": 4}
    return Levit(img_size=64, in_chans=1, num_classes=CLASSES, drop_path_rate=0.3, **sizes)


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"iterations": 12, "batch_size": 8, "learning_rate": 3e-3, "warmup_epochs": 1, **changes})


MIXED = {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "augmentation": EVERYTHING, "grad_clip_norm": 1.0}
LONG = {"epochs": 30, "iterations": None, "augmentation": Augmentation(shift=1, flip=True, noise=0.05)}
# Nothing is drawn for an image here, so that the averaged gradient of all processes is that of one.
EQUAL: dict[str, tuple[Callable[[], nn.Module], Recipe, dict[str, Any]]] = {
    "uneven shards": (vision_transformer, recipe(batch_size=7, label_smoothing=0.1, grad_clip_norm=1.0), {}),
    "a kept last batch": (vision_transformer, recipe(batch_size=17, drop_last=False, repeated_augmentation=3), {}),
    "condensation": (expanded, recipe(grad_clip_norm=0.1), {"teacher": True}),
    "models of a hypernetwork": (meta_batch, recipe(iterations=4), {}),
}
SCENARIOS = {
    **EQUAL,
    "all of a recipe, an odd batch": (
        partial(vision_transformer, 0.3),
        recipe(batch_size=7, drop_path=0.3, **MIXED),
        {},
    ),
    "drop path and mixup": (
        partial(vision_transformer, 0.1),
        recipe(**LONG, batch_size=7, drop_path=0.1, mixup=0.2),
        {},
    ),
    "batch norm": (partial(drawn, partial(ConvNet, 1, CLASSES, 4)), recipe(**LONG, batch_size=20), {}),
    "LeViT": (partial(drawn, levit, 64), recipe(iterations=4, label_smoothing=0.1), {}),
}


def phase(name: str, **changes: Any) -> TrainingRun:
    return TrainingRun(**{"name": name, "streams": RngStreams(0), "compute": Compute(), "classes": CLASSES, **changes})


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
            evaluate=lambda trained: evaluate(trained, held_out, Compute(), task_kind().metrics(), batch_size=8),
            teacher=teacher if options.get("teacher") else None,
            compute=Compute(checkpoint_seconds=1e-9 if checkpoint else 1e9),
            measure_start=True,
            checkpoint=checkpoint,
        ),
    )
    curve = [{"top1": point.metrics["top1"], "loss": point.loss} for point in trained.curve if point.metrics]
    return {"weights": network.cpu().state_dict(), "curve": curve}


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


def same_bits(one: Any, other: Any) -> bool:
    return all(torch.equal(weight, other["weights"][name]) for name, weight in one["weights"].items())


def processes(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs this file as a program in as many processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run([*torchrun, __file__, *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module", params=[2, 3])
def trained_together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All scenarios in as many processes: a file for each scenario and rank."""
    folder = tmp_path_factory.mktemp("together")
    done = processes(request.param, "train", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("scenario", EQUAL)
def test_without_augmentation_processes_train_as_one_does(trained_together: Path, scenario: str) -> None:
    """The averaged gradient is that of the whole batch, so the weights after some steps are those of one process."""
    expected = run(scenario)
    assert len(expected["curve"]) > 1
    same(expected, torch.load(trained_together / f"{scenario}.0.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_processes_end_with_the_same_network(trained_together: Path, scenario: str) -> None:
    results = [torch.load(path) for path in sorted(trained_together.glob(f"{scenario}.*.pt"))]
    for other in results[1:]:
        assert same_bits(results[0], other)
        assert [point["top1"] for point in other["curve"]] == [point["top1"] for point in results[0]["curve"]]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["drop path and mixup", "batch norm"])
def test_with_random_numbers_of_their_own_processes_learn_as_much(trained_together: Path, scenario: str) -> None:
    expected, together = run(scenario), torch.load(trained_together / f"{scenario}.0.pt")
    losses = []
    for curve in (expected["curve"], together["curve"]):
        assert curve[0]["top1"] < 50
        assert curve[-1]["top1"] > 60
        losses.append(sum(point["loss"] for point in curve[-10:]) / 10)
    assert losses[1] == pytest.approx(losses[0], rel=0.15)
    assert not same_bits(expected, together), "other ranks draw other numbers"


@pytest.mark.slow
def test_killed_processes_are_continued_by_as_many(tmp_path: Path) -> None:
    checkpoint = tmp_path / "finetuning.pt"
    done = processes(2, "kill", checkpoint)
    assert "SIGKILL" in done.stderr
    assert torch.load(checkpoint)["step"] == 7
    with pytest.raises(UserError, match=r"finetuning.pt: saved by 2 processes, and now there are 1; run with --proc"):
        run("uneven shards", checkpoint)
    done = processes(2, "continue", checkpoint)
    assert done.returncode == 0, done.stderr
    same(run("uneven shards"), torch.load(f"{checkpoint}.end"))


@pytest.mark.slow
def test_fewer_images_than_processes_are_measured_as_by_one(trained_together: Path) -> None:
    network = drawn(partial(ConvNet, 1, CLASSES, 4)).eval()
    expected = evaluate(network, some_images(1), Compute(), task_kind().metrics())
    for path in trained_together.glob("few.*.pt"):
        assert torch.load(path) == expected


@pytest.mark.slow
def test_what_the_loss_does_not_depend_on_is_refused(trained_together: Path) -> None:
    error = "finetuning: the loss does not depend on network.unused, which is to be trained; with several processes "
    assert (trained_together / "unused.txt").read_text().startswith(error)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one_does(tmp_path: Path) -> None:
    done = processes(2, "train", tmp_path, "cuda")
    assert done.returncode == 0, done.stderr
    for scenario in EQUAL:
        same(run(scenario, device="cuda"), torch.load(tmp_path / f"{scenario}.0.pt"))


class Unused(ConvNet):
    def __init__(self) -> None:
        super().__init__(1, CLASSES, 4)
        self.register_parameter("unused", nn.Parameter(torch.zeros(3)))


def train_all(folder: Path, device: str = "cpu") -> None:
    for scenario in SCENARIOS:
        torch.save(run(scenario, device=device), folder / f"{scenario}.{distributed.world().rank}.pt")
    few = some_images(1, device=device)  # fewer images than processes
    network = drawn(partial(ConvNet, 1, CLASSES, 4)).eval().to(device)
    torch.save(evaluate(network, few, Compute(), task_kind().metrics()), folder / f"few.{distributed.world().rank}.pt")
    with pytest.raises(MethodFailure) as failure:
        train(Exact(Unused()), some_images(40), recipe(), phase("finetuning"))
    (folder / "unused.txt").write_text(str(failure.value))


def kill_all(checkpoint: Path) -> None:
    def kill(step: int) -> None:
        if step == 7:
            torch.distributed.barrier()  # rank 0 has written
            os.kill(os.getpid(), signal.SIGKILL)

    run("uneven shards", checkpoint, kill)


def go_on(checkpoint: Path) -> None:
    result = run("uneven shards", checkpoint)
    if distributed.world().is_rank0:
        torch.save(result, f"{checkpoint}.end")


def main(what: str, path: str, *device: str) -> None:
    world = distributed.join()
    torch.set_num_threads(1)
    if device:
        torch.cuda.set_device(world.gpu())
    world.form_group(world.next_store())
    {"train": train_all, "kill": kill_all, "continue": go_on}[what](Path(path), *device)
    world.end_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
