"""Reads the large parts of a record, which tables seldom need: its learning curve and its provenance."""

from __future__ import annotations

from learngene_bench.results.records.types import Record
from learngene_bench.schema.base import read_if_there
from learngene_bench.schema.record import CellRecord
from learngene_bench.util.errors import UserError


def details(record: Record) -> CellRecord:
    """Returns the whole record. Reads its file again, as thousands of whole records would fill the memory.

    Raises:
        DamagedFile: it does not read as what it was written as.
        UserError: the file is gone.
    """
    if isinstance(record.result, CellRecord):  # from a leaderboard, whose records lie in one file
        return record.result
    if found := read_if_there(CellRecord, record.path):
        return found
    raise UserError(f"{record.path} was there a moment ago and is gone")
