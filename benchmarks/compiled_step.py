"""A compiled training step against the same step not compiled, and how long compiling takes, on a CPU.

    python benchmarks/compiled_step.py [--seconds 15] [--threads 1]

Three sizes: of the digits, of the photographs at 32 pixels, and DeiT-Ti at 224 pixels. For each size two processes
compile one after the other, in an empty folder for the compiler: the second one finds what the first has left there.
`compute.compile = true` is repaid by a stage of more steps than compiling takes, divided by what a step saves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import torch
from timing import alternate, describe, ratio
from training_steps import SuiteStep

from learngene_bench.models.vit import ViTSpec

SIZES = {
    "digits": (ViTSpec(depth=12, width=48, heads=3, patch_size=4, image_size=12, channels=1, classes=10), 64),
    "photographs": (ViTSpec(depth=6, width=64, heads=4, patch_size=8, image_size=32, channels=3, classes=20), 64),
    "DeiT-Ti": (ViTSpec(depth=12, width=192, heads=3, patch_size=16, image_size=224, channels=3, classes=1000), 16),
}
"""Models, and the images in a batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", choices=SIZES, help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.size:
        torch.set_num_threads(arguments.threads)
        measure(arguments.size, arguments.seconds)
        return
    print(f"torch {torch.__version__}, {arguments.threads} thread(s)")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            for way in ("empty", "filled"):
                print(f"{size}, the compiler's folder is {way}", flush=True)
                command = [sys.executable, __file__, "--size", size, "--seconds", str(arguments.seconds)]
                command += ["--threads", str(arguments.threads)]
                subprocess.run(command, check=True, env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": folder})


def measure(size: str, seconds: float) -> None:
    spec, batch = SIZES[size]
    plain, compiled = (SuiteStep(spec, batch, "cpu", "float32", compiled=way) for way in (False, True))
    first = {}
    for name, step in (("plain", plain), ("compiled", compiled)):
        began = time.perf_counter()
        step()
        first[name] = time.perf_counter() - began
    taken = alternate({"compiled": compiled, "plain": plain}, seconds=seconds, device="cpu", warmup=3)
    saved = median(taken["plain"]) - median(taken["compiled"])
    print(f"  {describe(ratio(taken, 'compiled', 'plain', f'{spec}, batch {batch}'))}")
    print(f"  first step {first['compiled']:.1f} s, plain {first['plain']:.2f} s", end="")
    print(f"; repaid after {first['compiled'] / saved:.0f} steps" if saved > 0 else "; never repaid")


if __name__ == "__main__":
    main()
