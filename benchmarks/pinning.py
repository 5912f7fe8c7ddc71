"""Measures whether workers must be pinned to cores: two workers on two cores, pinned and not, in turn.

    python benchmarks/pinning.py [--rounds 30] [--steps 50]

The claim under test: workers that the kernel places are not slower than pinned ones (ratio at most 1.02), so that a
pool needs no locks that tell the cores of several runs apart. Each worker trains a small ViT with one thread, as a
stage of the digits preset does. The ratio is taken within each round, as another program slows both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen([sys.executable, "-c", WORKER], stdin=pipe, stdout=pipe, text=True) for _ in cores]
    seconds(workers, options.steps, cores, pinned=True)
    ratios = []
    for number in range(options.rounds):
        order = (True, False) if number % 2 else (False, True)
        taken = {pinned: seconds(workers, options.steps, cores, pinned=pinned) for pinned in order}
        ratios.append(taken[False] / taken[True])
        print(f"round {number}: not pinned {taken[False]:.2f} s, pinned {taken[True]:.2f} s, ratio {ratios[-1]:.3f}")
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"ratio not pinned / pinned: median {median:.3f}, quartiles {low:.3f} and {high:.3f}, {len(ratios)} rounds")
    for worker in workers:
        worker.communicate()


if __name__ == "__main__":
    main()
