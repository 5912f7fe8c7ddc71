"""One training step by one process and by several that share the batch out, with gloo on CPUs or NCCL on GPUs.

    python benchmarks/distributed_step.py [--processes 2] [--width 48] [--batch 64] [--rounds 10] [--device cpu]

Rank 0 alone and all processes together train the same model by turns, so that a noisy machine is noisy for both, and
medians over the rounds are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from timing import Ratio, ratio

from learngene_bench import distributed
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.distributed import World
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.inputs import new_model
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.rng import RngStreams

STEPS = 20
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--image", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--noise", type=float, default=0.15)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--times", type=Path, help="file that gets the seconds of every round as JSON")
    options = parser.parse_args()
    if "WORLD_SIZE" not in os.environ:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*torchrun, f"--nproc-per-node={options.processes}", *sys.argv]
        sys.exit(subprocess.call(command, env={"OMP_NUM_THREADS": "1", **os.environ}))
    torch.set_num_threads(options.threads)
    world = distributed.join()
    if options.device == "cuda":
        torch.cuda.set_device(world.gpu())
    world.form_group(world.next_store())
    benchmark(options, world)
    world.end_group()


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures two processes of one thread each, with as many rounds as a guess of their length allows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times.json"
        rounds = max(3, int(seconds / 6))
        command = [sys.executable, __file__, "--rounds", str(rounds), "--times", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken = json.loads(file.read_text())
    note = "a step of one model, width 48, depth 12, batch 64; both need a core for each process"
    yield ratio(taken, "together", "alone", note)


def benchmark(options: argparse.Namespace, world: World) -> None:
    spec = ViTSpec(
        depth=options.depth,
        width=options.width,
        heads=options.width // 16,
        patch_size=options.patch,
        image_size=options.image,
        channels=3,
        classes=CLASSES,
    )
    augmentation = Augmentation(shift=2, flip=True, color_jitter=0.4, random_erasing=0.25, noise=options.noise)
    recipe = Recipe(
        iterations=STEPS, batch_size=options.batch, learning_rate=1e-3, grad_clip_norm=1.0, drop_path=0.1, mixup=0.8
    )
    data = some_images(options, augmentation)
    alone: list[float] = []
    together: list[float] = []
    for count in range(options.rounds + 1):
        if world.is_rank0:
            alone.append(seconds_per_step(spec, recipe, data, options.device, World()))
        torch.distributed.barrier()
        together.append(seconds_per_step(spec, recipe, data, options.device, world))
        if count == 0:  # warm-up
            alone.clear()
            together.clear()
    if world.is_rank0 and options.times:
        options.times.write_text(json.dumps({"alone": alone, "together": together}))
    if world.is_rank0:
        threads = f"{options.threads} threads a process"
        print(f"torch {torch.__version__}, {options.device}, {threads}, {spec}, batch {options.batch}")
        one, several = statistics.median(alone), statistics.median(together)
        print(f"1 process          {1e3 * one:9.2f} ms a step")
        print(f"{world.size} processes        {1e3 * several:9.2f} ms a step, {one / several:.2f} x as fast")


def some_images(options: argparse.Namespace, augmentation: Augmentation) -> DeviceImages:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4 * options.batch, 3, options.image, options.image), dtype=np.uint8)
    split = Images(pixels, random.integers(0, CLASSES, len(pixels)))
    return DeviceImages(split, Normalization((0.5,), (0.5,)), torch.device(options.device), (augmentation,))


def seconds_per_step(spec: ViTSpec, recipe: Recipe, data: DeviceImages, device: str, world: World) -> float:
    model = new_model(spec, BaseInitialization(), 0, recipe.drop_path).to(device)
    phase = TrainingRun("benchmark", RngStreams(0), Compute(device="cpu"), CLASSES, world=world)
    started = time.perf_counter()
    train(model, data, recipe, phase)  # measures the loss at its end, which waits for the device
    return (time.perf_counter() - started) / recipe.steps(len(data))


if __name__ == "__main__":
    main()
