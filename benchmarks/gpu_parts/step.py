"""The training step against timm's own: images/s, TFLOP/s, share of the peak, peak memory."""

from __future__ import annotations

import statistics
from functools import partial

from supervised import Report
from timing import alternate, ratio
from training_steps import SuiteStep, fitting_batch, timm_step, training_flops, warmed_up

from gpu_parts.card import card_name
from gpu_parts.peaks import peak_of, share
from gpu_parts.plan import Settings
from gpu_parts.sizes import DEIT, batch_of, deit, tiny_imagenet
from learngene_bench.models.vit import ViTSpec

STEPS = 4
"""Steps of a way in a round, without a wait between them, as in training."""


def measure(settings: Settings, report: Report) -> None:
    specs = {**tiny_imagenet(settings), **{f"{name} 224": deit(name, settings) for name in DEIT}}
    for number, (name, spec) in enumerate(specs.items()):
        seconds = min(10.0, (report.seconds_left() - 5) / (len(specs) - number))
        report.tried(name, lambda: compare(name, spec, settings, report, seconds))  # noqa: B023


def compare(name: str, spec: ViTSpec, settings: Settings, report: Report, seconds: float) -> None:
    """Measures one model; about half of the seconds go to warming up."""
    device, peak = settings.device, peak_of(card_name(settings.device))
    batch = fitting_batch(lambda images: SuiteStep(spec, images, device), batch_of(spec, settings))
    steps, memory = {}, {}
    for way, make in {"suite": SuiteStep, "timm": timm_step}.items():
        steps[way], memory[way] = warmed_up(partial(make, spec, batch, device), device)
    taken = alternate(steps, seconds=seconds / 2, device=device, warmup=1, times=STEPS)
    against = ratio(taken, "timm", "suite")
    for way in steps:
        each = statistics.median(taken[way])
        tflops = training_flops(spec, batch) / each / 1e12
        values = {
            "batch": batch,
            "ms": 1e3 * each,
            "images/s": batch / each,
            "TFLOP/s": tflops,
            "share of peak": share(tflops, peak),
            "peak memory, MiB": memory[way],
            "rate over timm's": against.median if way == "suite" else 1.0,
        }
        report.add(f"{name}, {way}", values)
