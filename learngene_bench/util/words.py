"""Words of sentences that count something."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Returns a number with its noun: 1 pair, 2 pairs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
