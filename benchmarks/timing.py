"""Timing of ways to do the same work: in turns, so that a noisy machine is noisy for all, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Ways = Mapping[str, Callable[[], object]]


def synchronize(device: str) -> None:
    """Waits until the device has done all that it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str = "cpu", times: int = 1) -> float:
    """Measures the seconds of one call; on a GPU until its kernels have ended.

    Args:
        times: calls without a wait between them, as a training loop makes them.
    """
    synchronize(device)
    started = time.perf_counter()
    for _ in range(times):
        work()
    synchronize(device)
    return (time.perf_counter() - started) / times


def alternate(
    ways: Ways,
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    device: str = "cpu",
    warmup: int = 2,
    times: int = 1,
) -> dict[str, list[float]]:
    """Measures the seconds of one call of each way, round by round; every other round is in reverse order.

    Args:
        rounds: number of rounds that count.
        seconds: duration after which no further round begins; after `rounds`, if both are given. At least three
            rounds are measured.
        warmup: rounds that do not count.
        times: calls of each way in a round.
    """
    if rounds is None and seconds is None:
        raise ValueError("give rounds, seconds or both")
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(warmup):
        for work in ways.values():
            work()
    end = time.monotonic() + seconds if seconds is not None else None
    count = 0
    while (rounds is None or count < rounds) and (end is None or count < 3 or time.monotonic() < end):
        order = list(ways.items())
        for name, work in order if count % 2 == 0 else reversed(order):
            taken[name].append(seconds_of(work, device, times))
        count += 1
    return taken


@dataclass(frozen=True)
class Ratio:
    """The time or memory of a way of this suite over that of its peer, in one run.

    Attributes:
        subject: the suite's way.
        peer: the way that it is compared with.
        unit: unit of both: "s", "MiB".
        subjects, peers: a value for each round; both values of a round were measured one after the other.
        note: one sentence for whoever reads the table.
    """

    subject: str
    peer: str
    unit: str
    subjects: tuple[float, ...]
    peers: tuple[float, ...]
    note: str = ""

    @property
    def by_round(self) -> list[float]:
        """The ratio of each round."""
        return [one / other for one, other in zip(self.subjects, self.peers, strict=True)]

    @property
    def median(self) -> float:
        """The median of the rounds' ratios: another program on the machine slows both values of a round."""
        return statistics.median(self.by_round)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the rounds' ratios; the smallest and the largest where there are fewer than four."""
        ratios = self.by_round
        if len(ratios) < 4:
            return min(ratios), max(ratios)
        low, _, high = statistics.quantiles(ratios, n=4)
        return low, high


def describe(measured: Ratio) -> str:
    """Returns a line for a terminal."""
    subject, peer = statistics.median(measured.subjects), statistics.median(measured.peers)
    low, high = measured.spread
    return (
        f"{measured.subject}: {subject:.4g} {measured.unit}; {measured.peer}: {peer:.4g} {measured.unit}; "
        f"ratio {measured.median:.3f} ({low:.3f} to {high:.3f}, {len(measured.subjects)} rounds)"
    )


def ratio(taken: Mapping[str, list[float]], subject: str, peer: str, note: str = "") -> Ratio:
    """Makes the ratio of two ways that `alternate` measured."""
    return Ratio(subject, peer, "s", tuple(taken[subject]), tuple(taken[peer]), note)
