"""The result of a finished stage in a few words."""

from __future__ import annotations

from learngene_bench.runs.store import StageFolder
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.record import AncestorRecord, CellResult


def measured(folder: StageFolder, kind: StageKind) -> str:
    """Returns the primary metric of a finished cell or ancestor; nothing for a gene, of which none is measured."""
    if kind == "gene":
        return ""
    record = folder.read_any_record(kind)
    if isinstance(record, CellResult):
        spec = record.metric_specs[record.primary_metric]
        before, after = record.initial_metrics[spec.name], record.metrics[spec.name]
        return f"{spec.title} {before:.{spec.decimals}f} -> {after:.{spec.decimals}f}"
    assert isinstance(record, AncestorRecord)
    spec = record.metric_specs[record.primary_metric]
    return f"{spec.title} {record.metrics[spec.name]:.{spec.decimals}f} (validation)"
