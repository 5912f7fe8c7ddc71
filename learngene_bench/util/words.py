"""Words of sentences that count something, and the order of words with numbers in them."""

from __future__ import annotations

import re


def counted(number: int, thing: str) -> str:
    """Returns a number with its noun: 1 pair, 2 pairs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def natural_order(text: str) -> list[tuple[int, str]]:
    """Returns a key that sorts numbers within words by their value.

    >>> sorted(["depth 10", "depth 4", "width"], key=natural_order)
    ['depth 4', 'depth 10', 'width']
    """
    return [(int(number or 0), word) for number, word in re.findall(r"([0-9]+)|([^0-9]+)", text)]
