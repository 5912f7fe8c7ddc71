"""Materialising the blocks of a 12-layer DeiT-B from WAVE's templates: time, and memory beyond the templates.

    python benchmarks/materialise.py [--width 768] [--depth 12] [--rounds 5] [--threads 1]

One batched contraction for each component against a loop over `torch.kron`, each in a process of its own, as the peak
of memory (the largest resident size, less that before) belongs to a process. The claim under test: faster than the
loop, and no more memory than the weights themselves and one component.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from timing import Ratio, alternate, ratio

from learngene_bench.expansion.algebra import Expansion
from learngene_bench.methods.wave.layout import Layout
from learngene_bench.models.vit import ViTSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=["batched", "kron"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments)))
        return
    spec = deit(arguments)
    blocks = sum(torch.Size(shape).numel() for shape in spec.block_shapes().values()) * spec.depth
    largest = max(torch.Size(shape).numel() for shape in spec.block_shapes().values()) * spec.depth
    print(f"torch {torch.__version__}, {arguments.threads} threads, {spec}: weights {mib(blocks)}, ", end="")
    print(f"largest component {mib(largest)}")
    results = {}
    for way in ("batched", "kron"):
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        results[way] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for way, result in results.items():
        ratio = result["seconds"] / results["kron"]["seconds"]
        print(f"{way:8} {result['seconds']:7.3f} s  {ratio:.2f} x kron   peak {result['peak_kib'] / 1024:7.0f} MiB")


def mib(numbers: int) -> str:
    return f"{numbers * 4 / 2**20:.0f} MiB"


def deit(arguments: argparse.Namespace) -> ViTSpec:
    return ViTSpec(
        depth=arguments.depth, width=arguments.width, heads=arguments.width // 64, patch_size=16, image_size=224
    )


@torch.no_grad()
def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures the time at the width of DeiT-S, one thread."""
    torch.set_num_threads(1)
    expansion = drawn(ViTSpec(depth=12, width=384, heads=6, patch_size=16, image_size=224))
    taken = alternate(
        {"materialise": expansion.materialise, "torch.kron loop": lambda: kron_loop(expansion)}, seconds=seconds
    )
    yield ratio(taken, "materialise", "torch.kron loop", "weights of 12 layers of DeiT-S from WAVE's templates")


def drawn(spec: ViTSpec) -> Expansion:
    """Draws templates and scalers of WAVE."""
    layout = Layout(spec, spec.width, per_position=2)
    generator = torch.Generator().manual_seed(0)
    templates = {n: torch.randn(layout.template_shape(n), generator=generator) for n in spec.block_shapes()}
    scalers = {n: torch.randn(layout.padding(n, spec.depth).shape, generator=generator) for n in spec.block_shapes()}
    return Expansion(spec, scalers, templates)


@torch.no_grad()
def measure(way: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measures median seconds, and by how much the peak resident size grows in the first round."""
    torch.set_num_threads(arguments.threads)
    expansion = drawn(deit(arguments))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, peak = [], 0
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        weights = expansion.materialise() if way == "batched" else kron_loop(expansion)
        seconds.append(time.perf_counter() - started)
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        del weights
    return {"seconds": statistics.median(seconds), "peak_kib": peak}


def kron_loop(expansion: Expansion) -> dict[str, torch.Tensor]:
    """Computes the equation as it is written: one `torch.kron` for every layer, component and template."""
    weights = {}
    for name, templates in expansion.templates.items():
        for layer, scalers in enumerate(expansion.scalers[name]):
            total = torch.kron(scalers[0], templates[0])
            for scaler, template in zip(scalers[1:], templates[1:], strict=True):
                total = total + torch.kron(scaler, template)
            weights[f"blocks.{layer}.{name}"] = total.view(expansion.spec.block_shapes()[name])
    return weights


if __name__ == "__main__":
    main()
