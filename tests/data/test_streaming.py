"""Test that images which stay on disk give the same bits however they are loaded, and that failures are named."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import Program
from image_folders import CLASSES, CPU, DEIT, EVERYTHING, SIDE, folder, write_images
from torch import Tensor
from whole_runs import lgbench_forked, lgbench_here, numbers

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.dataset import Splits
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.dataloader import translate_loader_errors
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.inputs import new_model, plain_images, source_data, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams

SPEC = ViTSpec(depth=2, width=8, heads=2, patch_size=4, image_size=SIDE, channels=3, classes=CLASSES)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("tree"))


def network() -> torch.nn.Module:
    return new_model(SPEC, BaseInitialization(weight_init="xavier"), 0, drop_path=0.2)


class Killed(Exception):
    pass


def run(
    splits: Splits,
    recipe: Recipe = EVERYTHING,
    loaders: int = 0,
    checkpoint: Path | None = None,
    kill_at: int | None = None,
    hook: Callable[[], None] | None = None,
) -> tuple[dict[str, Tensor], TrainResult]:
    """Trains; `kill_at` stops it in the middle, as a kill would."""
    model, held_out = network(), plain_images(splits.validation, splits, CPU, loaders)
    steps = 0

    def count_steps(*_: object) -> None:
        nonlocal steps
        steps += model.training
        if steps == kill_at:
            raise Killed
        if hook and model.training:
            hook()

    model.register_forward_pre_hook(count_steps)
    phase = TrainingRun(
        name="finetuning",
        streams=RngStreams(3),
        compute=Compute(checkpoint_seconds=1e-9 if checkpoint else 1e9),
        classes=CLASSES,
        evaluate=lambda trained: evaluate(trained, held_out, Compute(), task_kind().metrics(), batch_size=4),
        checkpoint=checkpoint,
    )
    trained = train(model, training_images(splits, recipe, CPU, loaders), recipe, phase)
    return model.state_dict(), trained


def same(one: tuple[dict[str, Tensor], TrainResult], other: tuple[dict[str, Tensor], TrainResult]) -> None:
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert one[1].curve == other[1].curve


# How images are loaded changes nothing


def test_bits_do_not_depend_on_the_number_of_loaders_or_on_a_kill(tree: Path, tmp_path: Path) -> None:
    """RandAugment, mixup, drop path and all, a partial last batch, killed within each epoch and at its end."""
    splits = folder(tree).load()
    expected = run(splits)
    assert expected[1].cost.iterations == 6
    assert expected[1].cost.images == 2 * 18
    same(expected, run(splits, loaders=2))
    for kill_at in (2, 4, 6):
        checkpoint = tmp_path / f"{kill_at}.pt"
        with pytest.raises(Killed):
            run(splits, loaders=kill_at % 3, checkpoint=checkpoint, kill_at=kill_at)
        assert torch.load(checkpoint, weights_only=True)["step"] == kill_at - 1
        same(expected, run(splits, loaders=(kill_at + 1) % 3, checkpoint=checkpoint))


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(flip=True, color_jitter=0.3, random_erasing=0.5), Augmentation(shift=2, noise=0.1), DEIT],
    ids=["batched", "batched with noise", "one by one"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_streamed_images_train_as_those_in_memory(tree: Path, augmentation: Augmentation, channels: int) -> None:
    """The decision of `stream = "auto"` is no part of an address, so it may change no bit."""
    recipe = EVERYTHING.model_copy(update={"augmentation": augmentation})
    options = {"channels": channels, "crop": 0.8}
    streamed, held = folder(tree, **options).load(), folder(tree, stream=False, **options).load()
    assert (streamed.mean, streamed.std) == (held.mean, held.std)
    batches = []
    for splits in (streamed, held):
        order = BatchSchedule(len(splits.train), recipe, RngStreams(0), "finetuning")
        draws = AugmentationRng.of(RngStreams(0), "x", "cpu")
        shown = training_images(splits, recipe, CPU).batches(map(order.batch, range(4)), draws)
        batches.append([*shown, *plain_images(splits.test, splits, CPU).eval_batches(4)])
    for (images, labels), (others, other_labels) in zip(*batches, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_a_batch_out_and_augment_with_numbers_of_their_own(tree: Path, size: int) -> None:
    """The images of a batch are those of one process; the same image is not augmented alike by another rank."""
    splits = folder(tree).load()
    data = training_images(splits, EVERYTHING, CPU)
    recipe = EVERYTHING.model_copy(update={"batch_size": 12})  # and 6

    def batches(rank: int, size: int) -> list[tuple[Tensor, Tensor]]:
        order = BatchSchedule(18, recipe, RngStreams(0), "finetuning", rank, size)
        draws = AugmentationRng.of(RngStreams(0).for_rank(rank), "finetuning", "cpu")
        return list(data.batches(map(order.batch, range(order.steps)), draws))

    expected, ranks = batches(0, 1), [batches(rank, size) for rank in range(size)]
    for step, (_, labels) in enumerate(expected):
        assert torch.equal(torch.cat([batch[step][1] for batch in ranks]), labels)
        assert all(len(batch[step][1]) % 2 == 0 for batch in ranks), "pairs for mixup"
    assert not torch.equal(ranks[1][0][0], expected[0][0][len(ranks[0][0][0]) :][: len(ranks[1][0][0])])


def test_methods_see_the_same_images_streamed(tree: Path) -> None:
    seen = []
    for stream in (True, False):
        source = source_data(folder(tree, stream=stream).load(), CLASSES, {}, CPU)
        context = MeteredContext(0, CPU, Compute(), None, SPEC, source=source)  # type: ignore[arg-type]
        seen.append(context.source_images(5))
        assert context.cost.images == 5
    assert torch.equal(*seen)


# What goes wrong


def damaged(tree: Path, tmp_path: Path) -> tuple[Splits, str]:
    """A copy in which a training image was cut short after the data were opened."""
    subprocess.run(["cp", "-r", tree, tmp_path / "copy"], check=True)
    splits = folder(tmp_path / "copy", normalization="imagenet").load()
    name = os.fsdecode(bytes(splits.train.names[11]))  # type: ignore[union-attr]
    path = tmp_path / "copy" / name
    path.write_bytes(path.read_bytes()[:60])
    return splits, str(path)


@pytest.mark.parametrize("loaders", [0, 2])
def test_a_damaged_file_in_the_middle_of_training_is_named(tree: Path, tmp_path: Path, loaders: int) -> None:
    splits, path = damaged(tree, tmp_path)
    with pytest.raises(UserError, match=rf"^{re.escape(path)}: does not decode: [^\n]+$"):
        run(splits, EVERYTHING.model_copy(update={"repeated_augmentation": 1}), loaders)
    assert not children()


def children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def test_a_killed_loader_is_an_error_of_the_machine_not_of_the_method(tree: Path) -> None:
    def kill_one() -> None:
        os.kill(min(children()), signal.SIGKILL)
        time.sleep(0.2)

    recipe = EVERYTHING.model_copy(update={"epochs": 200.0})  # more than is loaded ahead
    with pytest.raises(UserError, match="a process that loads images was killed: memory"):
        run(folder(tree).load(), recipe, loaders=2, hook=kill_one)
    assert not children()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to open shared memory object </torch_1_2> in read-write mode: Permission denied (13)"),
        RuntimeError(
            "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            "RuntimeError: unable to write to file </torch_1_2>: No space left on device (28)"
        ),
        PermissionError(13, "Permission denied"),
        OSError(38, "Function not implemented"),
    ],
)
def test_a_machine_without_shared_memory_is_no_failure_of_the_method(error: Exception) -> None:
    """The texts are those of torch and of multiprocessing, where /dev/shm is read-only, full or not there."""
    with pytest.raises(UserError, match=r"/dev/shm.*compute\.num_workers=0"), translate_loader_errors():
        raise error


def test_loaders_end_with_training_and_leave_no_trace_in_global_random_numbers(tree: Path) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    splits = folder(tree).load()
    for loaders in (0, 1):
        data: SplitImages = training_images(splits, EVERYTHING, CPU, loaders)
        order = BatchSchedule(18, EVERYTHING, RngStreams(0), "x")
        draws = AugmentationRng.of(RngStreams(0), "x", "cpu")
        torchs = torch.get_rng_state()
        batches = data.batches(map(order.batch, range(3)), draws)
        next(batches)
        batches.close()
        assert torch.equal(torch.get_rng_state(), torchs)
        assert not children()
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002
    torch.set_rng_state(before[0])
    random.setstate(before[1])


def load_forever(tree: str) -> None:
    splits = folder(Path(tree)).load()
    data = training_images(splits, EVERYTHING, CPU, 2)
    recipe = EVERYTHING.model_copy(update={"epochs": 1e5})
    order = BatchSchedule(18, recipe, RngStreams(0), "x")
    draws = AugmentationRng.of(RngStreams(0), "x", "cpu")
    try:
        for number, _ in enumerate(data.batches(map(order.batch, range(order.steps)), draws)):
            if number == 2:
                print(*children(), flush=True)
    except KeyboardInterrupt:
        print("stopped by the user", flush=True)


ABANDONED = """
import sys
from pathlib import Path
sys.path[:0] = {tests!r}
import test_streaming as t
splits = t.folder(Path({tree!r})).load()
images = t.plain_images(splits.train, splits, t.CPU, 2).eval_batches(4)
next(images)
print(*t.children(), flush=True)
sys.stdin.read()
raise ValueError("something else")
"""


def test_a_program_that_fails_while_images_are_loaded_ends_and_a_schedulers_sigterm_is_the_parents(tree: Path) -> None:
    text = ABANDONED.format(tests=[str(Path(__file__).parent), str(Path(__file__).parents[1])], tree=str(tree))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout is not None
        for pid in map(int, parent.stdout.readline().split()):
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
            assert Path(f"/proc/{pid}/exe").exists(), "neither dead nor a zombie"
        _, errors = parent.communicate(timeout=60)
    assert errors.endswith("ValueError: something else\n")
    assert errors.count("Traceback") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_loaders_end_with_their_parent_and_are_silent(tree: Path, number: signal.Signals) -> None:
    """Killed alone; and Ctrl-C, which the terminal sends to the loaders as well."""
    with Program("test_streaming:load_forever", str(tree), path=[Path(__file__).parent]) as parent:
        loaders = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(loaders) == 2
        os.killpg(parent.pid, number) if number == signal.SIGINT else parent.send_signal(number)
        rest, errors = parent.stdout.read(), parent.stderr.read()  # ends when nobody holds the pipe any more
        parent.wait()
    assert "Traceback" not in errors
    assert rest == ("stopped by the user\n" if number == signal.SIGINT else "")


@pytest.mark.slow
def test_the_imagenet_preset_runs_at_a_small_size(tree: Path, tmp_path: Path) -> None:
    """Its recipes, streamed by two processes; the same command with other loading computes nothing again."""
    images = shutil.copytree(tree, tmp_path / "images")
    settings = [
        "data.name=imagefolder",
        f"data.root={images}",
        "data.image_size=16",
        "data.training_view=whole",
        "data.crop=0.875",
        "data.normalization=imagenet",
        "model.patch_size=8",
        "sizes={ti={width=64}}",
        'teacher={architecture="convnet", recipe={epochs=1, batch_size=8, learning_rate=1e-3}}',
        "compute.device=cpu",
    ]
    arguments = ["run", "--executor", "inline", "--method", "he,wave", "--preset", "imagenet", "--quick"]
    arguments += ["--runs", str(tmp_path / "runs"), *(part for setting in settings for part in ("--set", setting))]
    done = lgbench_here(*arguments, "--set", "compute.num_workers=2")
    assert "WAVE" in done.stdout
    before = numbers(tmp_path / "runs")
    assert len([name for name in before if name.startswith("cell/")]) == 4
    lgbench_here(*arguments, "--set", "compute.num_workers=0", "--set", "data.stream=true")
    assert numbers(tmp_path / "runs") == before
    lgbench_here(
        *arguments[:-2], "--runs", str(tmp_path / "again"), "--set", "compute.num_workers=0", "--set", settings[-1]
    )
    assert numbers(tmp_path / "again") == before
    for broken in (images / "train" / "class 1").iterdir():
        broken.write_bytes(broken.read_bytes()[:60])
    error = lgbench_forked(*arguments, status=2).stderr
    assert re.fullmatch(rf"[^\n]*{re.escape(str(images))}/train/class 1/\S+: does not decode: [^\n]+\n", error)
