"""Checks and measures everything that needs a GPU on a machine with one, in at most 8 minutes.

    python benchmarks/gpu_check.py [--output gpu-check] [--parts card,step]
    python benchmarks/gpu_check.py --device cpu --small      # a trial of the check itself, without a GPU

Every part is a process of its own with a limit of its own, so one that crashes or hangs costs the others nothing. What
is found is written at once: `findings.jsonl` line by line, `check.json` and the page `check.md` after each part.

It needs torch for CUDA, timm, and this package with its other dependencies; pytest for the tests that need a GPU. One
line says what is missing. Exit status: 0, 1 if something is wrong, 2 if something is missing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import tomllib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from gpu_parts.page import markdown
from gpu_parts.plan import PARTS, Settings, part_named
from supervised import Outcome, Report, run, this_program

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30
"""Factor of the limits in a trial on a CPU, which may be a busy one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="folder of the results")
    parser.add_argument("--parts", help=f"only these, with commas between: {', '.join(part.name for part in PARTS)}")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="small models and batches, for a trial on a CPU")
    for name in ("--part", "--limit", "--lines"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = Settings(options.device, options.small)
    if options.part:
        compute(options.part, settings, Report(Path(options.lines), options.part, float(options.limit)))
        return
    names = [part.name for part in PARTS]
    wanted = options.parts.split(",") if options.parts else names
    if unknown := [name for name in wanted if name not in names]:
        sys.exit(complaint(f"--parts: there is no part {unknown[0]!r} (valid: {', '.join(names)})"))
    if lacking := missing(options.device):
        sys.exit(complaint(lacking))
    outcomes = check(wanted, settings, options.output)
    print(f"{options.output}/check.md")
    sys.exit(any(not outcome.fine for outcome in outcomes))


def complaint(text: str) -> int:
    print(f"gpu_check.py: {text}", file=sys.stderr)
    return 2


def compute(name: str, settings: Settings, report: Report) -> None:
    """Computes a part in this process."""
    import torch

    if settings.device == "cpu":
        torch.set_num_threads(1)  # two that wait for each other are slow on a busy machine
    importlib.import_module(f"gpu_parts.{part_named(name).name}").measure(settings, report)


def check(names: list[str], settings: Settings, folder: Path) -> list[Outcome]:
    """Runs the parts one after the other, and writes all that is known after each."""
    from learngene_bench.util.provenance import git, now

    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "findings.jsonl"
    lines.unlink(missing_ok=True)
    options = [f"--device {settings.device}", *(["--small"] if settings.small else [])]
    about = {
        "date": now(),
        "commit": (git()["commit"] or "unknown")[:12],
        "command": " ".join(["python benchmarks/gpu_check.py", *options]),
        "device": settings.device,
        "small": settings.small,
    }
    patience = PATIENCE if settings.device == "cpu" else 1
    outcomes: list[Outcome] = []
    for part in (part for part in PARTS if part.name in names):
        print(f"{part.name} (at most {part.seconds * patience:g} s) ...", end=" ", flush=True)
        outcomes.append(run(replace(part, seconds=part.seconds * patience), this_program(), lines))
        print(f"{outcomes[-1].seconds:.0f} s {outcomes[-1].ended or 'done'}", flush=True)
        found: dict[str, Any] = {**about, "parts": [outcome.as_dict() for outcome in outcomes]}
        (folder / "check.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (folder / "check.md").write_text(markdown(found), encoding="utf-8")
    return outcomes


def missing(device: str, root: Path = ROOT) -> str:
    """Returns a line that says what this machine lacks, or nothing. Torch is tried in a process of its own."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lacking = [name for name in map(name_of, project["dependencies"]) if not installed(name)]
    if lacking:
        return (
            f"this Python lacks {', '.join(lacking)}: python -m pip install {' '.join(lacking)} "
            "(without a network: bring their wheels)"
        )
    if importlib.util.find_spec("learngene_bench") is None or not installed(project["name"]):
        command = f"{sys.executable} -m pip install --no-deps --no-build-isolation --editable {root}"
        return f"{project['name']} is not installed for this Python: {command}"
    if device == "cpu":
        return ""
    from learngene_bench.execution import torch_probe

    steps, ended = torch_probe.run(limit=60)
    if ended:
        return f"torch does not work here: {ended}"
    for step in steps:
        if "error" in step:
            return f"{step['step']} does not work here: {step['error']}"
        if step["step"] == "torch" and step["built_for"] == "CPUs":
            return f"torch {step['version']} is built for CPUs: install one that is built for CUDA"
        if step["step"] == "gpus" and not step["count"]:
            return "torch sees no GPU here (--device cpu --small tries the check itself)"
    return ""


def name_of(requirement: str) -> str:
    """Returns the name of a requirement: "torch" of "torch>=2.11"."""
    return requirement.partition(">")[0].partition("=")[0].partition("[")[0].strip()


def installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
