"""One condensation step of WAVE against the same step of the same auxiliary model with free weights, on the device."""

from __future__ import annotations

import statistics

from condensation_step import build_steps
from supervised import Report
from timing import alternate, ratio

from gpu_parts.plan import Settings
from gpu_parts.sizes import batch_of, deit, tiny_imagenet

WAYS = ("free weights", "WAVE")


def measure(settings: Settings, report: Report) -> None:
    for name, spec in {**tiny_imagenet(settings), "DeiT-S 224": deit("DeiT-S", settings)}.items():
        batch = batch_of(spec, settings) // 2
        steps = build_steps(spec, batch, settings.device, WAYS, precision="bfloat16")
        seconds = min(3.0, report.seconds_left() / 6)
        taken = alternate(steps, seconds=seconds, device=settings.device, times=4)
        values = {"batch": batch, **{f"{way}, ms": 1e3 * statistics.median(taken[way]) for way in WAYS}}
        report.add(name, {**values, "time over free weights": ratio(taken, "WAVE", "free weights").median})
