"""Measures every ratio of this suite to a peer in one run, and writes `ratios.csv` and the table of `README.md`.

    make bench                                                  # at most 10 minutes
    python benchmarks/bench.py [--only training_step,streaming] [--patience 3] [--dry]

Each benchmark is a module with `ratios(seconds)`, in a process of its own with a limit. Subject and peer take turns in
one process or on one machine, and the median of the rounds' ratios is what counts: another program on the machine slows
both. All ratios are of times: below 1 the suite is faster than its peer.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gpu_parts.page import table
from supervised import Outcome, Part, Report, run, this_program

BENCHMARKS = (
    Part("training_step", "Training step", 60),
    Part("condensation_step", "Condensation step", 60),
    Part("ghn3_step", "Step of GHN-3", 60),
    Part("materialise", "Weights from templates", 45),
    Part("data_path", "Images kept in memory", 60),
    Part("streaming", "Images streamed from files", 60),
    Part("joint_augmentation", "Images with label maps", 45),
    Part("distributed_step", "Two processes for one model", 60),
    Part("pinning", "Workers without pinning", 40),
    Part("overhead", "A cell around its training", 60),
    Part("many_records", "Tables of many records", 50),
)
"""Every benchmark that has a peer, with its limit; 10 minutes together."""
MEASURING = 0.4
"""Part of a limit, without `--patience`, in which rounds begin; the rest is for the start and for warming up."""
HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- ratios: make bench writes this -->\n", "<!-- end of ratios -->\n"


def main() -> None:
    names = [part.name for part in BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"only these, with commas between: {', '.join(names)}")
    parser.add_argument("--patience", type=float, default=1.0, help="factor of all limits, for a busy machine")
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    for name in ("--part", "--limit", "--lines"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        (part,) = (part for part in BENCHMARKS if part.name == options.part)
        measure(part.name, MEASURING * part.seconds, Report(Path(options.lines), part.name))
        return
    wanted = options.only.split(",") if options.only else names
    if unknown := [name for name in wanted if name not in names]:
        print(f"bench.py: --only: there is no benchmark {unknown[0]!r} (valid: {', '.join(names)})", file=sys.stderr)
        sys.exit(2)
    outcomes, rows = list[Outcome](), list[dict[str, str]]()
    for outcome in run_all(wanted, options.patience):
        outcomes.append(outcome)
        rows += rows_of([outcome])
        if outcome.findings and not options.dry:
            write(rows_of([outcome]), HERE / "ratios.csv", HERE / "README.md", [outcome.part.name])
    print("\n".join(tabulated(rows)))
    sys.exit(any(not outcome.fine for outcome in outcomes))


def run_all(names: Iterable[str], patience: float) -> Iterator[Outcome]:
    """Runs benchmarks one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        for part in (part for part in BENCHMARKS if part.name in names):
            limited = replace(part, seconds=part.seconds * patience)
            print(f"{part.name} (at most {limited.seconds:g} s) ...", end=" ", flush=True)
            outcome = run(limited, this_program(), Path(folder) / "lines")
            print(f"{outcome.seconds:.0f} s {outcome.ended or 'done'}", *outcome.output[-3:], sep="\n  ", flush=True)
            yield outcome


def measure(name: str, seconds: float, report: Report) -> None:
    """Measures the ratios of one benchmark in this process; rounds begin within these seconds."""
    for found in importlib.import_module(name).ratios(seconds):
        low, high = found.spread
        values = {
            "subject": found.subject,
            "peer": found.peer,
            "unit": found.unit,
            "subject_median": statistics.median(found.subjects),
            "peer_median": statistics.median(found.peers),
            "ratio": found.median,
            "low": low,
            "high": high,
            "rounds": len(found.subjects),
        }
        report.add(name, values, note=found.note)


def rows_of(outcomes: Iterable[Outcome]) -> list[dict[str, str]]:
    """Returns a row for each ratio, with date, machine and versions."""
    from learngene_bench.util.provenance import git, hardware, now, versions

    about = hardware("cpu", 1, 1)
    machine = f"{about['cores']} cores, {about['cpu']}, {about['system']}"
    head = {"date": now()[:10], "machine": machine, "commit": (git()["commit"] or "unknown")[:12]}
    head |= {name: versions()[name] for name in ("python", "torch", "timm")}
    return [
        {**head, "benchmark": finding.what, **{key: str(v) for key, v in finding.values.items()}, "note": finding.note}
        for outcome in outcomes
        for finding in outcome.findings
    ]


def tabulated(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Returns the lines of the table."""
    shown = []
    for row in rows:
        times = [f"{float(row[name]):.3g} {row['unit']}" for name in ("subject_median", "peer_median")]
        spread = f"{float(row['low']):.2f} to {float(row['high']):.2f}"
        what = [f"`{row['benchmark']}`", row["subject"], row["peer"], *times, f"{float(row['ratio']):.2f}", spread]
        shown.append([*what, row["rounds"], row["date"], row["note"]])
    heading = (
        "benchmark",
        "subject",
        "peer",
        "subject takes",
        "peer takes",
        "ratio",
        "quartiles",
        "rounds",
        "date",
        "of",
    )
    return table(heading, shown)


def write(rows: list[dict[str, str]], file: Path, page: Path, measured: Iterable[str]) -> None:
    """Writes ratios and table; rows of benchmarks that were not measured now stay."""
    kept = [row for row in read(file) if row["benchmark"] not in measured]
    order = [part.name for part in BENCHMARKS]
    every = sorted([*kept, *rows], key=lambda row: order.index(row["benchmark"]))
    if not every:
        return
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(every[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
    page.write_text(with_table(page.read_text(encoding="utf-8"), every), encoding="utf-8")


def with_table(text: str, rows: list[dict[str, str]]) -> str:
    """Returns the page with this table in the place of its old one; none for no rows."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    machines = sorted({f"{row['machine']}; torch {row['torch']}, timm {row['timm']}" for row in rows})
    if not rows:
        return f"{before}{BEGIN}{END}{after}"
    return f"{before}{BEGIN}\n" + "\n".join([*tabulated(rows), "", *machines]) + f"\n\n{END}{after}"


def read(file: Path) -> list[dict[str, str]]:
    """Reads the ratios of earlier runs."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()
