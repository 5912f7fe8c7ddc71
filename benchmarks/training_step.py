"""One training step of the suite against timm's own step, and against its matrix products alone.

    python benchmarks/training_step.py [--width 48] [--depth 12] [--batch 64] [--seconds 30] [--device cpu]

The same model, batch, recipe and precision (`training_steps.py`); all take turns. The matrix products are what a step
cannot do without: their time is the floor.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from timing import Ratio, alternate, describe, ratio
from training_steps import SuiteStep, matrix_products, timm_step

from learngene_bench.models.vit import ViTSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    spec = digits_model(arguments.width, arguments.depth)
    print(f"torch {torch.__version__}, {arguments.device}, {spec}, batch {arguments.batch}")
    for measured in compare(spec, arguments.batch, arguments.device, arguments.seconds):
        print(describe(measured))


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures the sizes of the digits, one thread."""
    torch.set_num_threads(1)
    yield from compare(digits_model(48, 12), 64, "cpu", seconds)


def digits_model(width: int, depth: int) -> ViTSpec:
    """Describes a model of the preset `digits`."""
    return ViTSpec(depth=depth, width=width, heads=width // 16, patch_size=4, image_size=12, channels=1, classes=10)


def compare(spec: ViTSpec, batch: int, device: str, seconds: float) -> Iterator[Ratio]:
    precision = "float32" if device == "cpu" else "bfloat16"
    ways = {
        "training step": SuiteStep(spec, batch, device, precision),
        "timm's training step": timm_step(spec, batch, device, precision),
        "its matrix products alone": matrix_products(spec, batch, device),
    }
    taken = alternate(ways, seconds=seconds, device=device, warmup=3)
    for peer in list(ways)[1:]:
        yield ratio(taken, "training step", peer, f"{spec}, batch {batch}")


if __name__ == "__main__":
    main()
