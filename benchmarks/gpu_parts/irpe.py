"""A training step with iRPE against one without, and the memory of both."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial

from supervised import Report
from timing import alternate, ratio
from training_steps import SuiteStep, fitting_batch, warmed_up

from gpu_parts.plan import Settings
from gpu_parts.sizes import batch_of, deit, tiny_imagenet


def measure(settings: Settings, report: Report) -> None:
    device = settings.device
    for name, spec in {
        "DeiT-S 224": deit("DeiT-S", settings),
        "tiny-imagenet s": tiny_imagenet(settings)["tiny-imagenet s"],
    }.items():
        specs = {"with": replace(spec, irpe=True), "without": spec}
        half = batch_of(spec, settings) // 2
        batch = fitting_batch(lambda images: SuiteStep(specs["with"], images, device), half)  # noqa: B023
        steps, memory = {}, {}
        for way, each in specs.items():
            steps[way], memory[way] = warmed_up(partial(SuiteStep, each, batch, device), device)
        taken = alternate(steps, seconds=min(4.0, report.seconds_left() / 4), device=device, warmup=1, times=4)
        against = ratio(taken, "with", "without")
        values: dict[str, float | None] = {
            "batch": batch,
            **{f"{way} iRPE, ms": 1e3 * statistics.median(taken[way]) for way in steps},
        }
        values |= {f"{way}, peak MiB": found for way, found in memory.items()}
        report.add(name, {**values, "time over without": against.median})
