"""Which stages a person means: by the beginning of an address, or by words of the label."""

from __future__ import annotations

from collections.abc import Sequence

from learngene_bench.execution.status import Situation
from learngene_bench.util.errors import UserError

SHOWN = 10


def choose(found: Sequence[Situation], texts: Sequence[str]) -> list[Situation]:
    """All stages that any of the texts means.

    Raises:
        UserError: a text means none.
    """
    chosen: dict[str, Situation] = {}
    for text in texts:
        meant = _meant(found, text)
        if not meant:
            raise UserError(f"{text!r}: no stage has an address that begins so, or a label with these words")
        chosen.update({one.address: one for one in meant})
    return list(chosen.values())


def choose_one(found: Sequence[Situation], text: str) -> Situation:
    """The only stage that the text means.

    Raises:
        UserError: it means none, or several, which are then named.
    """
    meant = choose(found, [text])
    if len(meant) > 1:
        names = [f"{one.address[:8]} ({one.label})" for one in meant[:SHOWN]]
        more = f" and {len(meant) - SHOWN} more" if len(meant) > SHOWN else ""
        raise UserError(f"{text!r} may mean several: {', '.join(names)}{more}")
    return meant[0]


def _meant(found: Sequence[Situation], text: str) -> list[Situation]:
    if by_address := [one for one in found if len(text) >= 4 and one.address.startswith(text)]:
        return by_address
    words = text.lower().replace(",", " ").split()
    return [one for one in found if words and set(words) <= set(one.label.lower().replace(",", " ").split())]
