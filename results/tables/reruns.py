"""Says who has computed cells once more, and what came out: in the words of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from learngene_bench.results.tables.report_table import ReportCell
from learngene_bench.schema.rerun import OUTCOMES, Rerun

HEADING = "Re-run by"


def rerun_cell(reruns: Sequence[Rerun]) -> ReportCell:
    """Returns the entry of a column "Re-run by": each name with what came out, "Ada Lovelace (2 same, 1 differs)"."""
    by_name: dict[str, list[Rerun]] = {}
    for line in sorted(reruns, key=lambda line: line.date):
        by_name.setdefault(line.by, []).append(line)
    text = ", ".join(f"{name} ({_outcomes(lines)})" for name, lines in by_name.items())
    return ReportCell(text, addresses=tuple(dict.fromkeys(line.address for line in reruns)))


def _outcomes(lines: Sequence[Rerun]) -> str:
    """Counts what came out; of a single re-run, the word alone."""
    counts = Counter(line.outcome for line in lines)
    if len(lines) == 1:
        return lines[0].outcome
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])


def what_differs(rerun: Rerun) -> str:
    """Lists what is not the same, with distances; the error of a re-run that failed; nothing if all is the same."""
    if rerun.failure:
        return rerun.failure
    found = (f"{one.name} {one.remark or f'{one.repeated} instead of {one.recorded}'}" for one in rerun.differences)
    return "; ".join(found)


def note(reruns: Iterable[Rerun]) -> str:
    """Explains the column, as far as its words occur."""
    outcomes = {line.outcome for line in reruns}
    meanings = {
        "same": "every number is the same to the last digit",
        "differs": "some number is not, if only in its last digit",
        "failed": "no number came out",
    }
    used = "; ".join(f"{outcome}: {meanings[outcome]}" for outcome in OUTCOMES if outcome in outcomes)
    return f"{HEADING}: who has computed some of these cells once more, from their configurations alone ({used})."
