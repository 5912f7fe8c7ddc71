"""The card, the versions, and what the card gives at most: large matrix products, and copies of memory."""

from __future__ import annotations

import statistics

import torch
from supervised import Report
from timing import alternate

from gpu_parts.peaks import peak_of, share
from gpu_parts.plan import Settings
from learngene_bench.util.provenance import hardware, versions


def card_name(device: str) -> str:
    """Returns the name that the driver gives the card; "CPU" for a trial without one."""
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def measure(settings: Settings, report: Report) -> None:
    device = settings.device
    about = hardware(device, torch.get_num_threads(), 1)
    report.add("card", {"name": card_name(device), **{name: about[name] for name in ("cpu", "cores", "system")}})
    report.add("versions", {**versions(), "CUDA": torch.version.cuda or "none"})
    if device == "cuda":
        found = torch.cuda.get_device_properties(0)
        about = {"GiB": found.total_memory / 2**30, "multiprocessors": found.multi_processor_count}
        report.add("memory", {**about, "capability": f"{found.major}.{found.minor}"})
    side = settings.choose(8192, 256)
    for name, tflops in product_rates(device, side).items():
        peak = peak_of(card_name(device)) if name == "bfloat16" else None
        values = {"TFLOP/s": tflops, "share of the data sheet's": share(tflops, peak)}
        report.add(f"product of {side} x {side} matrices, {name}", values)
    report.add("copy of memory, read and written", {"GB/s": copy_rate(device, settings.choose(2**30, 2**22))})


def product_rates(device: str, side: int) -> dict[str, float]:
    """Measures TFLOP/s of square products on random numbers, by precision."""
    left, right = (torch.randn(side, side, device=device) for _ in range(2))
    half = left.bfloat16(), right.bfloat16()
    before = torch.get_float32_matmul_precision()

    def product(precision: str) -> None:
        torch.set_float32_matmul_precision(precision)
        left @ right

    ways = {"bfloat16": lambda: half[0] @ half[1], "float32": lambda: product("highest")}
    if device == "cuda":
        ways["TF32"] = lambda: product("high")
    taken = alternate(ways, rounds=5, seconds=4, device=device, times=5)
    torch.set_float32_matmul_precision(before)
    return {name: 2 * side**3 / statistics.median(seconds) / 1e12 for name, seconds in taken.items()}


def copy_rate(device: str, size: int) -> float:
    """Measures GB/s of copies of this many bytes, those read and those written."""
    source = torch.randint(256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = alternate({"copy": lambda: target.copy_(source)}, rounds=5, device=device, times=3)
    return 2 * size / statistics.median(taken["copy"]) / 1e9
