"""Measures whether workers must be pinned to cores: two workers on two cores, pinned and not, in turn.

    python benchmarks/pinning.py [--rounds 30] [--steps 50]

The claim under test: workers that the kernel places are not slower than pinned ones (ratio at most 1.02), so that a
pool needs no locks that tell the cores of several runs apart. Each worker trains a small ViT with one thread, as a
stage of the digits preset does. The ratio is taken within each round, as another program slows both.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from timing import Ratio, describe

WORKER = """
import sys, time
import torch
from timm.models.vision_transformer import VisionTransformer
torch.set_num_threads(1)
model = VisionTransformer(
    img_size=12, patch_size=4, in_chans=1, num_classes=10, embed_dim=48, depth=6, num_heads=3
)
optimizer = torch.optim.AdamW(model.parameters())
images, labels = torch.randn(64, 1, 12, 12), torch.randint(10, (64,))

def train(steps):
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

train(20)
for line in sys.stdin:
    start = time.perf_counter()
    train(int(line))
    print(time.perf_counter() - start, flush=True)
"""


def seconds(workers: list[subprocess.Popen[str]], steps: int, cores: list[int], *, pinned: bool) -> float:
    """Returns the time of the slower of two workers that train at the same time."""
    for worker, core in zip(workers, cores, strict=True):
        os.sched_setaffinity(worker.pid, {core} if pinned else set(cores))
    for worker in workers:
        assert worker.stdin
        worker.stdin.write(f"{steps}\n")
        worker.stdin.flush()
    return max(float(worker.stdout.readline()) for worker in workers if worker.stdout)


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures two workers on two cores; nothing on a machine with one."""
    if len(os.sched_getaffinity(0)) < 2:
        return
    with two_workers() as measured:
        taken = alternate_pinning(measured, steps=20, seconds=seconds)
    note = "20 training steps by each of two workers at the same time, the slower one counts"
    yield Ratio("placed by the kernel", "pinned to cores", "s", tuple(taken[False]), tuple(taken[True]), note)


@contextmanager
def two_workers() -> Iterator[Callable[[int, bool], float]]:
    """Yields a function that measures both workers: of the number of steps, and whether they are pinned."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen([sys.executable, "-c", WORKER], stdin=pipe, stdout=pipe, text=True) for _ in cores]
    try:
        yield lambda steps, pinned: seconds(workers, steps, cores, pinned=pinned)
    finally:
        for worker in workers:
            worker.communicate()


def alternate_pinning(
    measured: Callable[[int, bool], float], steps: int, *, rounds: int | None = None, seconds: float = math.inf
) -> dict[bool, list[float]]:
    """Measures both ways in turns; at least three rounds."""
    measured(steps, True)
    taken: dict[bool, list[float]] = {True: [], False: []}
    end = time.monotonic() + seconds
    while len(taken[True]) < (rounds or math.inf) and (len(taken[True]) < 3 or time.monotonic() < end):
        for pinned in (True, False) if len(taken[True]) % 2 else (False, True):
            taken[pinned].append(measured(steps, pinned))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    with two_workers() as measured:
        taken = alternate_pinning(measured, options.steps, rounds=options.rounds)
    print(describe(Ratio("placed by the kernel", "pinned", "s", tuple(taken[False]), tuple(taken[True]))))


if __name__ == "__main__":
    main()
