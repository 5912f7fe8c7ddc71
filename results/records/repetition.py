"""A record and its repetition, side by side: the same numbers or not, and whether the same were to be expected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DECIDING = ("torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn")
"""Packages whose version may change the last digits."""

_DECIDING_HARDWARE = ("device", "accelerator", "cpu", "threads", "processes", "system")


@dataclass(frozen=True)
class Line:
    """One thing that both records say.

    Attributes:
        same: whether they agree.
        remark: how far they are apart, where that is a number.
    """

    name: str
    recorded: str
    repeated: str
    same: bool
    remark: str = ""


@dataclass(frozen=True)
class Repetition:
    """What two records of one configuration have in common.

    Attributes:
        numbers: what was computed.
        surroundings: what it was computed with: code, versions, hardware.
        obstacles: why the same bits cannot be expected; empty if they can.
    """

    numbers: tuple[Line, ...]
    surroundings: tuple[Line, ...]
    obstacles: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all numbers are."""
        return all(line.same for line in self.numbers)


def compare(recorded: Mapping[str, Any], repeated: Mapping[str, Any], inputs: Sequence[Line] = ()) -> Repetition:
    """Two records of one cell.

    Args:
        inputs: `compare_tensors` of what it was made of.

    Raises:
        KeyError, TypeError: one is not complete.
    """
    surroundings = tuple(_surroundings(recorded["provenance"], repeated["provenance"]))
    return Repetition((*inputs, *_numbers(recorded, repeated)), surroundings, tuple(_obstacles(surroundings)))


def compare_tensors(name: str, recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Line:
    """What a cell was made of: two records of a gene or an ancestor."""
    return _hashes(name, recorded["tensors"], repeated["tensors"])


def _numbers(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Iterator[Line]:
    for name, title in (("top1", "top-1 after tuning"), ("top1_initial", "top-1 as initialized")):
        before, after = recorded["metrics"][name], repeated["metrics"][name]
        remark = f"{after - before:+.3g} points" if before != after else ""
        yield Line(title, f"{before:.6g}", f"{after:.6g}", before == after, remark)
    yield _curves(recorded["curve"], repeated["curve"])
    yield _hashes("initial weights", recorded["initial_weights"], repeated["initial_weights"])
    if "model" in recorded:
        yield _hashes("weights after tuning", recorded["model"], repeated["model"])
    yield from _counted(recorded["cost"], repeated["cost"])


def _curves(recorded: list[dict[str, Any]], repeated: list[dict[str, Any]]) -> Line:
    """Of two learning curves: the first point in which they differ, and how far they are apart at most."""
    counts = f"{len(recorded)} points", f"{len(repeated)} points"
    if len(recorded) != len(repeated):
        return Line("learning curve", *counts, same=False)
    pairs = list(zip(recorded, repeated, strict=True))
    unlike = [before["epoch"] for before, after in pairs if before != after]
    if not unlike:
        return Line("learning curve", *counts, same=True)
    remark = (
        f"from epoch {unlike[0]:g}: {_apart(pairs, 'top1')} points of top-1, {_apart(pairs, 'loss')} of loss at most"
    )
    return Line("learning curve", *counts, same=False, remark=remark)


def _apart(pairs: list[tuple[dict[str, Any], dict[str, Any]]], name: str) -> str:
    distances = [abs(after[name] - before[name]) for before, after in pairs if None not in (before[name], after[name])]
    return f"{max(distances, default=math.nan):.3g}"


def _hashes(name: str, recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Line:
    before, after = recorded["sha256"], repeated["sha256"]
    return Line(name, before[:12], after[:12], before == after)


def _counted(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Iterator[Line]:
    """What was spent, by phase, except seconds."""
    for phase, before in recorded.items():
        for name, value in before.items():
            if name != "seconds":
                again = repeated[phase][name]
                if value != again:
                    yield Line(f"{name} to {phase}", f"{value:g}", f"{again:g}", same=False)


def _surroundings(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Iterator[Line]:
    """What both say; earlier versions said less."""
    for part in ("versions", "hardware"):
        for name, value in recorded[part].items():
            if name in repeated[part]:
                yield _line(name, value, repeated[part][name])
    yield _line("commit", _commit(recorded["git"]), _commit(repeated["git"]))
    yield _line("code", _code(recorded), _code(repeated))


def _line(name: str, before: Any, after: Any) -> Line:
    return Line(name, _text(before), _text(after), before == after)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _commit(git: Mapping[str, Any]) -> str | None:
    return f"{git['commit'][:8]}{' with uncommitted changes' if git['dirty'] else ''}" if git["commit"] else None


def _code(provenance: Mapping[str, Any]) -> str | None:
    """The hash of the suite's files; earlier versions wrote none."""
    code = provenance.get("code")
    return code["sha256"][:12] if code else None


def _obstacles(surroundings: tuple[Line, ...]) -> Iterator[str]:
    """Why not all is as it was: one kind of CPU, the same versions and the same code give the same bits."""
    by_name = {line.name: line for line in surroundings}
    if by_name["device"].recorded != "cpu":
        yield "GPUs do not add in one order"
    unlike = [name for name in (*_DECIDING, *_DECIDING_HARDWARE) if name in by_name and not by_name[name].same]
    if unlike:
        yield f"other {', '.join(unlike)}"
    if not by_name["code"].same:
        yield "other code of the suite"
