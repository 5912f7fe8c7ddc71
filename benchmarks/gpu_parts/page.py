"""The page of a check: JSON to Markdown, tables by part, the goals first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from supervised import Finding, Outcome


@dataclass(frozen=True)
class Goal:
    """A number that is wanted.

    Attributes:
        part, what, column: where the number is: a part, how its finding begins, and the column.
        met: judges it.
    """

    text: str
    part: str
    what: str
    column: str
    met: Callable[[float], bool]


def at_least(value: float) -> Callable[[float], bool]:
    return lambda found: found >= value


def at_most(value: float) -> Callable[[float], bool]:
    return lambda found: found <= value


GOALS = (
    *(
        Goal(f"at least 1.5x timm's rate, {name}", "step", f"{name}, suite", "rate over timm's", at_least(1.5))
        for name in ("tiny-imagenet ti", "tiny-imagenet s", "tiny-imagenet b")
    ),
    Goal("at least 1.0x timm's rate, DeiT-S 224", "step", "DeiT-S 224, suite", "rate over timm's", at_least(1.0)),
    Goal("at least 40 % of the bfloat16 peak, DeiT-B 224", "step", "DeiT-B 224, suite", "share of peak", at_least(0.4)),
    Goal("iRPE at most 1.35x the time without, DeiT-S 224", "irpe", "DeiT-S 224", "time over without", at_most(1.35)),
)


def markdown(check: dict[str, Any]) -> str:
    """Returns the page.

    Args:
        check: what `gpu_check.py` writes as JSON.
    """
    outcomes = [Outcome.from_dict(part) for part in check["parts"]]
    trial = check["device"] == "cpu" or check["small"]
    goals = [] if trial else ["", *_goals(outcomes)]
    lines = ["# Check of a GPU", "", *_head(check, outcomes, trial), "", *_overview(outcomes), *goals]
    for outcome in outcomes:
        lines += ["", f"## {outcome.part.title}", "", *_part(outcome)]
    return "\n".join(lines) + "\n"


def _head(check: dict[str, Any], outcomes: Sequence[Outcome], trial: bool) -> list[str]:
    card = next((f.values.get("name") for o in outcomes for f in o.findings if f.what == "card"), "unknown card")
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines = [f"{card}, {check['date']}, commit {check['commit']}, {seconds:.0f} s in all. `{check['command']}`"]
    if trial:
        lines += ["", "**A trial of the check itself, on a CPU or at small sizes: its times say nothing of a GPU.**"]
    return lines


def _overview(outcomes: Sequence[Outcome]) -> list[str]:
    rows = []
    for outcome in outcomes:
        verdicts = [finding.verdict for finding in outcome.findings]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("ok", "wrong", "skipped") if v in verdicts)
        ended = outcome.ended or "well"
        rows.append(
            [outcome.part.title, ended, counts or "measured", f"{outcome.seconds:.0f} of {outcome.part.seconds:g}"]
        )
    return table(["part", "ended", "findings", "seconds"], rows)


def _goals(outcomes: Sequence[Outcome]) -> list[str]:
    rows = []
    for goal in GOALS:
        found = number(outcomes, goal)
        judged = "not measured" if found is None else "met" if goal.met(found) else "missed"
        rows.append([goal.text, "-" if found is None else f"{found:.3g}", judged])
    return table(["goal", "found", ""], rows)


def number(outcomes: Sequence[Outcome], goal: Goal) -> float | None:
    """Finds the number that a goal is about; a percentage as a fraction."""
    for outcome in outcomes:
        for finding in outcome.findings if outcome.part.name == goal.part else ():
            if finding.what.startswith(goal.what) and goal.column in finding.values:
                text = str(finding.values[goal.column])
                try:
                    return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
                except ValueError:
                    return None
    return None


def _part(outcome: Outcome) -> list[str]:
    lines = []
    if outcome.ended:
        lines += [f"**This part {outcome.ended}.** What it had found until then:", ""]
    for columns, findings in _alike(outcome.findings):
        shown = [name for name in ("verdict", "note") if any(getattr(f, name) for f in findings)]
        rows = [
            [f.what, *(show(f.values[name]) for name in columns), *(getattr(f, name) for name in shown)]
            for f in findings
        ]
        lines += [*table(["", *columns, *shown], rows), ""]
    if not outcome.findings:
        lines += ["Nothing.", ""]
    if outcome.output:
        lines += ["```text", *outcome.output, "```", ""]
    return lines[:-1]


def _alike(findings: Iterable[Finding]) -> list[tuple[list[str], list[Finding]]]:
    """Groups findings that have the same columns, in the order of their first."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault(tuple(finding.values), []).append(finding)
    return [(list(columns), found) for columns, found in groups.items()]


def show(value: Any) -> str:
    """Returns a value as a table shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    cells = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in row) + " |" for row in cells]
