"""Says below a table how long its targets were fine-tuned: what is usual, then who has another length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from learngene_bench.results.tables.lengths import Length
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable


def finetuning_length(table: MetricTable) -> str:
    """Says how long the targets of a table were fine-tuned: what most methods have, then who has another length.

    Returns:
        a sentence; empty if nothing is done, or nothing was fine-tuned.
    """
    by_row = {row.label: _by_column(table, row) for row in table.rows}
    usual = {
        index: _usual([by_column[index] for by_column in by_row.values() if index in by_column])
        for index in dict.fromkeys(index for by_column in by_row.values() for index in by_column)
    }
    if not any(length.images for length in usual.values()):
        return ""
    others: dict[str, list[str]] = {}
    for label, by_column in by_row.items():
        if any(usual[index] != length for index, length in by_column.items()):
            others.setdefault(_said(table, by_column), []).append(label)
    exceptions = [f"{', '.join(labels)}: {length}" for length, labels in others.items()]
    return f"Fine-tuning: {'; '.join([_said(table, usual), *exceptions])}."


def _by_column(table: MetricTable, row: MethodRow) -> dict[int, Length]:
    """Returns the length in each column, by its index, in which the row has results."""
    found = {index: table.lengths.get((row.key, column.key)) for index, column in enumerate(table.columns)}
    return {index: length for index, length in found.items() if length}


def _usual(lengths: Sequence[Length]) -> Length:
    """Returns what most have, of several the longest; nothing trained counts only where nobody trains."""
    counts = Counter([length for length in lengths if length.images] or lengths)
    return max(counts, key=lambda length: (counts[length], length.steps, length.images))


def _said(table: MetricTable, by_column: Mapping[int, Length]) -> str:
    """Says the lengths of some columns, with their names where they differ."""
    columns: dict[Length, list[int]] = {}
    for index, length in sorted(by_column.items()):
        columns.setdefault(length, []).append(index)
    if len(columns) == 1:
        return str(next(iter(columns)))
    return ", ".join(f"{length} ({'; '.join(_names(table, indices))})" for length, indices in columns.items())


def _names(table: MetricTable, indices: Sequence[int]) -> Iterator[str]:
    """Names columns by their labels, with their sizes where the table has several."""
    sizes = table.sizes()
    for size, columns in sizes.items():
        chosen = [index for index in indices if index in columns]
        if chosen:
            yield f"{size} {table.labels(chosen)}" if len(sizes) > 1 else table.labels(chosen)
