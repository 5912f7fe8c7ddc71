"""Cells that share a GPU, 1, 2, 4, 8 at a time: the steps a second of all together; and `lgbench run --per-gpu` itself.

All processes start and warm up once. Then so many of them as are asked for train at the same time, for a while.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from supervised import Report

from gpu_parts.plan import Settings

SHARED = (1, 2, 4, 8)
HERE = Path(__file__).resolve().parents[1]


def measure(settings: Settings, report: Report) -> None:
    counts = settings.choose(SHARED, SHARED[:2])
    workers = [Worker(settings) for _ in range(max(counts))]
    try:
        for worker in workers:
            worker.answer()
        alone = 0.0
        for count in counts:
            window = min(settings.choose(3.0, 1.0), report.seconds_left() / 8)
            rate = together(workers[:count], window)
            alone = alone or rate
            report.add(f"{count} at a time", {"steps/s together": rate, "over one alone": rate / alone})
    finally:
        for worker in workers:
            worker.end()
    report.tried("lgbench run with two workers", lambda: run_command(settings, report))


class Worker:
    """A process that trains for as many seconds as it is told, and answers with the number of steps."""

    def __init__(self, settings: Settings) -> None:
        command = [sys.executable, "-m", "gpu_parts.sharing", settings.device, *(["small"] if settings.small else [])]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=HERE, stdin=pipe, stdout=pipe, text=True)

    def ask(self, seconds: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> float:
        """Waits for the answer. Raises `RuntimeError` if the process ended instead."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process that trains ended with status {self.process.wait()}")
        return float(line)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def together(workers: list[Worker], seconds: float) -> float:
    """Returns the steps a second of all these workers, which train at the same time."""
    for worker in workers:
        worker.ask(seconds)
    return sum(worker.answer() for worker in workers) / seconds


def run_command(settings: Settings, report: Report) -> None:
    """Runs two cells of `lgbench run --quick`, two at a time on one GPU."""
    share = ["--per-gpu", "2"] if settings.device == "cuda" else ["--workers", "2", "--set", "compute.device=cpu"]
    with tempfile.TemporaryDirectory() as folder:
        # -P: the installed package, wherever this is called.
        main = "from learngene_bench.cli.main import main; main()"
        command = [sys.executable, "-P", "-c", main, "run", "-m", "he", "--quick", "--runs", f"{folder}/runs", *share]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, report.seconds_left() - 2))
        records = len(list(Path(folder).glob("runs/cell/*/result.json")))
    if done.returncode or records != 2:
        raise RuntimeError(f"exit status {done.returncode}, {records} records: {(done.stderr or done.stdout)[-200:]}")
    values = {"cells": records, "seconds": time.monotonic() - started}
    report.add(f"lgbench run --quick {' '.join(share[:2])}", values, verdict="ok")


def train_as_told(device: str, small: bool) -> None:
    """Trains a model of `tiny-imagenet` for as many seconds as each line of the input says."""
    import torch
    from timing import seconds_of, synchronize
    from training_steps import SuiteStep

    from gpu_parts.sizes import batch_of, tiny_imagenet

    torch.set_num_threads(1)
    settings = Settings(device, small)
    spec = tiny_imagenet(settings)["tiny-imagenet s"]
    step = SuiteStep(spec, batch_of(spec, settings), device)
    seconds_of(step, device, 3)
    print(0, flush=True)
    for line in sys.stdin:
        end, steps = time.monotonic() + float(line), 0
        while time.monotonic() < end:
            step()
            steps += 1
            if steps % 8 == 0:  # no queue of kernels that grows
                synchronize(device)
        synchronize(device)
        print(steps, flush=True)


if __name__ == "__main__":
    train_as_told(sys.argv[1], "small" in sys.argv[2:])
