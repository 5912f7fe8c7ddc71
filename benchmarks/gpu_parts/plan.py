"""The parts of the check of a GPU in their order, with their limits, and what all of them are given. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from supervised import Part

MINUTES = 8
"""Time that all parts may take together."""

PARTS = (
    Part("card", "The card and its ceilings", 40),
    Part("tests", "Tests that need a GPU", 40),
    Part("step", "Training step against timm's", 75),
    Part("resume", "Stop and continue", 25),
    Part("agreement", "CPU against GPU, the first 20 steps of every phase of every method", 85),
    Part("modes", "bfloat16, torch.compile, CUDA graphs", 75),
    Part("irpe", "With and without iRPE", 25),
    Part("condensation", "Condensation step against free weights", 25),
    Part("sharing", "Cells that share a GPU", 60),
    Part("loader", "Is training bound by loading?", 30),
)
"""The parts, the most important first; together `MINUTES`. A new part takes its seconds from another one."""

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """The settings of all parts.

    Attributes:
        device: "cuda", or "cpu" for a trial of the check itself.
        small: true for sizes that a CPU computes in seconds.
    """

    device: str
    small: bool

    def choose(self, full: T, small: T) -> T:
        """Returns one of two sizes."""
        return small if self.small else full


def part_named(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)
