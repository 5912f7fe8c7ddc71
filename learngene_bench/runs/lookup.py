"""Which cells of a runs folder a person means, read from their configurations alone."""

from __future__ import annotations

import re

from learngene_bench.runs.store import Runs
from learngene_bench.schema.base import read
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import UserError


def cell_labels(runs: Runs) -> dict[str, str]:
    """Address to label of every cell of a runs folder or a leaderboard.

    Raises:
        UserError: there is none.
    """
    labels = {}
    for path in sorted((runs.root / "cell").glob("*/config.json")):
        stage = read(StageFile, path)
        labels[stage.address] = stage.label
    if not labels:
        raise UserError(f"{runs.root}: no cells here (lgbench run --runs {runs.root} makes some)")
    return labels


def label_fits(query: str, address: str, label: str) -> bool:
    """Whether a query is the beginning of the address, at least 4 digits, or words that the label has in this order."""
    if re.fullmatch("[0-9a-f]{4,}", query) and address.startswith(query):
        return True
    words = iter(label.split())
    return all(word in words for word in query.split())  # `in` goes on where the last word was found
