"""Makes the files of a leaderboard that follow from its records: the same bytes on every machine.

Tests, intervals, rank correlations and figures are left to `lgbench report`, because their last digits and bytes depend
on the versions of numerical libraries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.csv import cells_csv
from learngene_bench.results.formats.latex import latex
from learngene_bench.results.formats.markdown import escaped, markdown, table_row
from learngene_bench.results.leaderboard.evaluated import Evaluated
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.reruns import HEADING, what_differs
from learngene_bench.schema.base import Scalar
from learngene_bench.schema.leaderboard import EVALUATIONS, PREDICTIONS
from learngene_bench.schema.provenance import Provenance
from learngene_bench.util.durations import duration

_COMPUTED = ("sweep", "cost", "instinct", "horizon", "data-size")


def texts(name: str, results: Results, evaluated: Evaluated) -> dict[str, str]:
    """Returns the text of each file, by name.

    Args:
        name: name of the leaderboard.
        results: records and plans of the leaderboard.
        evaluated: evaluations and predictions of its cells.
    """
    report = reporting.make(results, computed=_COMPUTED)
    return {
        "README.md": "\n".join(
            [*_head(name, results), *_evaluated(evaluated), markdown(report.tables), *_reruns(results)]
        ),
        "cells.csv": cells_csv(results),
        "tables.tex": latex(report.tables),
    }


def _head(name: str, results: Results) -> Iterator[str]:
    """Says what the page is, and where its numbers come from."""
    yield f"# {name}"
    yield ""
    yield (
        f"Made from the records beside it by `lgbench leaderboard build {name}`, never by hand; "
        f"`lgbench leaderboard check` makes it again and compares the bytes. "
        f"How records come here, and what else can be made of them: [../README.md](../README.md)."
    )
    yield ""
    yield table_row(("Records", "Suite", "torch", "timm", "Computed on", "Days"))
    yield table_row(("--:", "---", "---", "---", "---", "---"))
    origins: dict[tuple[str, ...], list[str]] = {}
    for record in results.records.values():
        found = details(record).provenance
        origins.setdefault(_origin(found), []).append(found.finished[:10])
    for origin, days in sorted(origins.items()):
        first, last = min(days), max(days)
        yield table_row((str(len(days)), *map(escaped, origin), first if first == last else f"{first} to {last}"))
    yield ""


def _evaluated(evaluated: Evaluated) -> Iterator[str]:
    """Says what is there of trained models beside their records, if anything is."""
    if evaluated.evaluations or evaluated.predictions:
        yield (
            f"Beside the records: predictions for each image, of {len(evaluated.predictions)} models, in "
            f"`{PREDICTIONS}/`; evaluations after training, {len(evaluated.evaluations)}, in `{EVALUATIONS}`. "
            "`lgbench report --table predictions`, `calibration` and `shifts` read them."
        )
        yield ""


def _reruns(results: Results) -> Iterator[str]:
    """Lists who has computed what once more, and what came out; nothing where nobody has."""
    lines = sorted(chain(*results.reruns.values()), key=lambda line: (line.label, line.date, line.by))
    if not lines:
        return
    yield "### Re-runs"
    yield ""
    yield "Cells that somebody has computed once more, each with its gene and its ancestors, from configurations alone."
    yield ""
    yield table_row(
        ("Cell", HEADING, "Numbers", "What differs", "Reasons for other numbers", "Machine", "torch", "Day", "Took")
    )
    yield table_row([*["---"] * 8, "--:"])
    for line in lines:
        words = (
            *(line.label, line.by, line.outcome, what_differs(line), "; ".join(line.obstacles)),
            *(_machine(line.hardware), line.versions["torch"], line.date[:10]),
            "" if line.seconds is None else duration(line.seconds),
        )
        yield table_row(map(escaped, words))
    yield ""


def _origin(provenance: Provenance) -> tuple[str, ...]:
    """Returns what records of one run on one machine have in common."""
    commit = provenance.git.commit[:8] if provenance.git.commit else "installed package"
    return (
        f"{commit}{' with uncommitted changes' if provenance.git.dirty else ''}",
        *(str(provenance.versions.get(package, "?")) for package in ("torch", "timm")),
        _machine(provenance.hardware),
    )


def _machine(hardware: Mapping[str, Scalar]) -> str:
    facts = [hardware.get("accelerator") or hardware.get("cpu"), hardware.get("system")]
    return ", ".join(str(fact) for fact in facts if fact)
