"""Images that stay on disk, or are augmented one by one: the same bits however they are loaded, by timm's means."""

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
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.distributed_sampler import RepeatAugSampler
from torch import Tensor
from whole_runs import lgbench, numbers

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, RandomCrop, Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.dataset import Dataset, Splits
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.image_transforms import preserve_rng_state, seed_all, timm_transforms
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.models.vit import ViTSpec
from learngene_bench.plugins.registry import dataset
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.inputs import new_model, plain_images, source_data, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams

SIDE, CLASSES = 12, 3
CPU = torch.device("cpu")
DEIT = Augmentation(
    random_crop=RandomCrop(),
    flip=True,
    auto_augment="rand-m9-mstd0.5-inc1",
    color_jitter=0.4,
    random_erasing=0.25,
    erase_value="noise",
)
EVERYTHING = Recipe(
    epochs=2,
    batch_size=7,
    learning_rate=3e-3,
    mixup=0.8,
    cutmix=1.0,
    label_smoothing=0.1,
    drop_path=0.2,
    augmentation=DEIT,
    repeated_augmentation=3,
    drop_last=False,
)


def picture(number: int, width: int, height: int) -> Image.Image:
    """Smooth colours with a few edges, so that crops, rotations and colour changes all show."""
    generator = np.random.default_rng(number)
    small = Image.fromarray(generator.integers(0, 256, (3, 4, 3)).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of many shapes, of which 6 are for validation, and 6 for the test."""
    root = tmp_path_factory.mktemp("tree")
    for split, count in {"train": 8, "val": 2}.items():
        for label in range(CLASSES):
            for i in range(count):
                path = root / split / f"class {label}" / f"{i}.{'jpeg' if i % 2 else 'png'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture(label * 100 + i, 17 + 3 * i, 31 - 2 * i).save(path)
    return root


def folder(root: Path, **options: Any) -> Dataset:
    settings = {"name": "imagefolder", "root": str(root), "image_size": SIDE, "validation_fraction": 0.25}
    return dataset({**settings, "stream": True, **options})


def network() -> torch.nn.Module:
    spec = ViTSpec(depth=2, width=8, heads=2, patch_size=4, image_size=SIDE, channels=3, classes=CLASSES)
    return new_model(spec, BaseInitialization(weight_init="xavier"), 0, drop_path=0.2)


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
        order = BatchSchedule(len(splits.train), recipe, RngStreams(0), "tuning")
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
        order = BatchSchedule(18, recipe, RngStreams(0), "tuning", rank, size)
        draws = AugmentationRng.of(RngStreams(0).for_rank(rank), "tuning", "cpu")
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
        context = MeteredContext(0, CPU, Compute(), None, source=source)  # type: ignore[arg-type]
        seen.append(context.source_images(5))
        assert context.cost.images == 5
    assert torch.equal(*seen)


# What is done to an image is timm's


@pytest.mark.parametrize("view", ["square", "whole"])
def test_an_image_is_augmented_as_timm_does_it(tree: Path, view: str) -> None:
    """timm's own transform of the file, with the same seed; but for erasing, which is done to a batch."""
    splits = folder(tree, training_view=view).load()
    settings = DEIT.model_copy(update={"random_erasing": 0.0})
    recipe = EVERYTHING.model_copy(update={"augmentation": settings, "mixup": 0.0, "cutmix": 0.0})
    order = BatchSchedule(18, recipe, RngStreams(5), "tuning")
    draws = AugmentationRng.of(RngStreams(5), "tuning", "cpu")
    step = 4  # in the second epoch
    [(images, _)] = training_images(splits, recipe, CPU).batches([order.batch(step)], draws)
    transform = create_transform(
        SIDE,
        is_training=True,
        hflip=0.5,
        color_jitter=0.4,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic",
        mean=splits.mean,
        std=splits.std,
    )
    names = sorted(path for path in (tree / "train").rglob("*.*"))
    held = {os.fsdecode(bytes(name)) for name in splits.train.names}  # type: ignore[union-attr]
    files = [path for path in names if str(path.relative_to(tree)) in held]
    for place, index in enumerate(order.batch(step).index.tolist()):
        number = RngStreams(5).seed_for("tuning", "image", 1, 7 + place)
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002
        torch.manual_seed(number)
        with Image.open(files[index]) as image:
            shown = image.convert("RGB") if view == "whole" else square(image.convert("RGB"))
        torch.testing.assert_close(images[place], transform(shown))


def square(image: Image.Image) -> Image.Image:
    """Crops as timm's evaluation does without a margin."""
    cut = create_transform(SIDE, interpolation="bicubic", crop_pct=1.0, normalize=False)(image)
    return Image.fromarray(cut.permute(1, 2, 0).numpy())


def test_randaugment_at_its_strongest_does_not_fail() -> None:
    """timm posterizes to 0 bits, which Pillow 13 refuses; with Pillow 12 the image came out black."""
    settings = Augmentation(auto_augment="rand-m10-n1-p1-inc1")
    [transform] = timm_transforms(settings, SIDE, (0.5,) * 3)
    image, black = picture(0, SIDE, SIDE), 0
    with preserve_rng_state():
        for number in range(200):
            seed_all(number)
            black += not np.asarray(transform(image)).any()
    assert black > 0


@pytest.mark.parametrize("stream", [True, False])
def test_evaluation_is_cut_as_timm_cuts_it(tree: Path, stream: bool) -> None:
    splits = folder(tree, stream=stream, crop=0.75, normalization="imagenet").load()
    transform = create_transform(SIDE, interpolation="bicubic", crop_pct=0.75)
    images = torch.cat([images for images, _ in plain_images(splits.test, splits, CPU).eval_batches(4)])
    for shown, path in zip(images, sorted((tree / "val").rglob("*.*")), strict=True):
        with Image.open(path) as image:
            torch.testing.assert_close(shown, transform(image.convert("RGB")))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("images", [100, 700])
def test_repeated_augmentation_is_that_of_deit(images: int, size: int) -> None:
    """A batch here is what the processes of DeiT have together, when each has its share of it."""
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=1, repeated_augmentation=3)
    order = BatchSchedule(images, recipe, SameAsTimm(), "tuning")  # type: ignore[arg-type]
    samplers = [RepeatAugSampler(range(images), size, rank) for rank in range(size)]
    for epoch in range(2):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        of_rank = [list(sampler) for sampler in samplers]
        assert order.steps_per_epoch == len(of_rank[0]) // (16 // size)
        for step in range(order.steps_per_epoch):
            mine = slice(step * 16 // size, (step + 1) * 16 // size)
            together = sorted(place for places in of_rank for place in places[mine])
            assert order.batch(epoch * order.steps_per_epoch + step).index.sort().values.tolist() == together


class SameAsTimm:
    """RngStreams whose generator for an epoch is that of timm's sampler."""

    def generator(self, *names: str | int) -> torch.Generator:
        return torch.Generator().manual_seed(int(names[-1]))


def test_a_recipe_reads_what_it_writes() -> None:
    assert Recipe.model_validate(EVERYTHING.model_dump(mode="json")) == EVERYTHING


@pytest.mark.parametrize("policy", ["rand-x9", "rand-m", "augmix-m3", "rand-m9-mstd0.5-"])
def test_another_policy_than_timms_randaugment_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match="timm's string for RandAugment is needed, such as rand-m9"):
        Augmentation(auto_augment=policy)


@pytest.mark.parametrize(("images", "sizes"), [(20, [8, 8, 4]), (16, [8, 8]), (17, [8, 8]), (5, [5])])
def test_the_last_batch_is_kept_on_demand(images: int, sizes: list[int]) -> None:
    """Unless it is one image, where images are mixed in pairs."""
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=1, drop_last=False, mixup=0.8)
    order = BatchSchedule(images, recipe, RngStreams(0), "tuning")
    assert [len(order.batch(step).index) for step in range(order.steps)] == 2 * sizes
    assert order.images_before(order.steps) == 2 * sum(sizes)
    assert order.images_before(len(sizes) + 1) == sum(sizes) + sizes[0]


def test_a_kept_batch_too_small_for_the_processes_is_refused_before_training() -> None:
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=1, drop_last=False)
    with pytest.raises(UserError, match="a batch of 2 images cannot be shared out among 3 processes: at most 2"):
        BatchSchedule(18, recipe, RngStreams(0), "tuning", rank=0, size=3)


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


PROGRAM = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
sys.path[:0] = {tests!r}
import test_streaming as t
splits = t.folder(Path({tree!r})).load()
data = t.training_images(splits, t.EVERYTHING, t.CPU, 2)
recipe = t.EVERYTHING.model_copy(update={{"epochs": 1e5}})
order = t.BatchSchedule(18, recipe, t.RngStreams(0), "x")
draws = t.AugmentationRng.of(t.RngStreams(0), "x", "cpu")
try:
    for number, _ in enumerate(data.batches(map(order.batch, range(order.steps)), draws)):
        if number == 2:
            print(*t.children(), flush=True)
except KeyboardInterrupt:
    print("stopped by the user", flush=True)
"""


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
    text = PROGRAM.format(tests=[str(Path(__file__).parent), str(Path(__file__).parents[1])], tree=str(tree))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", text], stdout=pipe, stderr=pipe, text=True, process_group=0) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        loaders = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(loaders) == 2
        os.killpg(parent.pid, number) if number == signal.SIGINT else parent.kill()
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
    arguments = ["run", "--method", "he,wave", "--grid", "depth", "--preset", "imagenet", "--quick"]
    arguments += ["--runs", str(tmp_path / "runs"), *(part for setting in settings for part in ("--set", setting))]
    done = lgbench(*arguments, "--set", "compute.num_workers=2")
    assert "WAVE" in done.stdout
    before = numbers(tmp_path / "runs")
    assert len([name for name in before if name.startswith("cell/")]) == 4
    lgbench(*arguments, "--set", "compute.num_workers=0", "--set", "data.stream=true")
    assert numbers(tmp_path / "runs") == before
    lgbench(*arguments[:-2], "--runs", str(tmp_path / "again"), "--set", "compute.num_workers=0", "--set", settings[-1])
    assert numbers(tmp_path / "again") == before
    for broken in (images / "train" / "class 1").iterdir():
        broken.write_bytes(broken.read_bytes()[:60])
    error = lgbench(*arguments, status=2).stderr
    assert re.fullmatch(rf"[^\n]*{re.escape(str(images))}/train/class 1/\S+: does not decode: [^\n]+\n", error)
