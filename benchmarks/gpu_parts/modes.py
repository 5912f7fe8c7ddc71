"""Float32, bfloat16, torch.compile and CUDA graphs: the time of a step, and if the loss is that of float32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from supervised import Report
from timing import alternate, ratio, synchronize
from training_steps import SuiteStep, timm_step

from gpu_parts.plan import Settings
from gpu_parts.sizes import batch_of, tiny_imagenet
from learngene_bench.models.vit import ViTSpec

STEPS = 10
"""First steps, whose mean loss is compared."""
TOLERANCE = 0.03
"""Largest relative difference of that loss to float32's; drop path draws other numbers where it is compiled."""
KEPT = 20.0
"""Seconds that must be left to begin another way, as it may have to compile."""


def measure(settings: Settings, report: Report) -> None:
    spec, device = tiny_imagenet(settings)["tiny-imagenet s"], settings.device
    batch = batch_of(spec, settings)
    made: dict[str, Callable[[], SuiteStep]] = {
        "float32": lambda: SuiteStep(spec, batch, device, "float32"),
        "bfloat16": lambda: SuiteStep(spec, batch, device),
    }
    if device == "cuda":
        made["bfloat16, network as CUDA graphs"] = lambda: network_as_graphs(spec, batch, device)
    made["bfloat16, compiled"] = lambda: SuiteStep(spec, batch, device, compiled=True)
    if device == "cuda":
        made["bfloat16, compiled with CUDA graphs"] = lambda: compiled_with_graphs(spec, batch, device)
    else:
        report.add("CUDA graphs", verdict="skipped", note="there are none on a CPU")
    peer, expected = timm_step(spec, batch, device), list[float]()
    for name, make in made.items():
        if report.seconds_left() < KEPT:
            report.add(name, verdict="skipped", note="no time was left")
        else:
            report.tried(name, lambda: compare(name, make, peer, expected, device, report))  # noqa: B023


def compare(
    name: str,
    make: Callable[[], SuiteStep],
    peer: Callable[[], None],
    expected: list[float],
    device: str,
    report: Report,
) -> None:
    """Takes the first steps in one way, then measures it in turns with timm's step in bfloat16.

    Args:
        expected: loss of the first way, which this adds.
    """
    started = time.perf_counter()
    step = make()
    step()
    synchronize(device)
    first = time.perf_counter() - started
    for _ in range(STEPS - 1):
        step()
    loss = step.mean_loss()
    expected.append(loss)
    off = abs(loss / expected[0] - 1)
    taken = alternate({"suite": step, "timm": peer}, seconds=2.5, device=device, warmup=2, times=4)
    values = {
        "ms": 1e3 * statistics.median(taken["suite"]),
        "rate over timm's": ratio(taken, "timm", "suite").median,
        "first step, s": first,
        f"mean loss of {STEPS} steps": loss,
        "off float32": off,
        "tolerance": TOLERANCE,
    }
    report.add(name, values, verdict="ok" if off <= TOLERANCE else "wrong")


def compiled_with_graphs(spec: ViTSpec, batch: int, device: str) -> SuiteStep:
    """Compiles the network for CUDA graphs, which torch.compile records by itself in this mode."""
    step = SuiteStep(spec, batch, device)
    step.loop.compiled = torch.compile(step.loop.network, mode="reduce-overhead")  # type: ignore[assignment]
    return step


def network_as_graphs(spec: ViTSpec, batch: int, device: str) -> SuiteStep:
    """Records forward and backward pass of the network as CUDA graphs, without a compiler."""
    step = SuiteStep(spec, batch, device)
    network = step.loop.network.train()
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        # Makes the network's own `forward` replay the graphs while it trains.
        step.loop.compiled = torch.cuda.make_graphed_callables(network, (step.images.clone(),))  # type: ignore[assignment]
    return step
