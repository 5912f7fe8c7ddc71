"""What is large in a record and seldom needed: its learning curve and where it comes from, read only when asked for."""

from __future__ import annotations

from learngene_bench.results.records.types import Record
from learngene_bench.schema.base import read
from learngene_bench.schema.record import CellRecord
from learngene_bench.util.errors import UserError


def details(record: Record) -> CellRecord:
    """Reads the record's file once more, all of it; kept in no memory, as thousands of records would fill it.

    Raises:
        DamagedFile: it does not read as what it was written as.
        UserError: the file is gone.
    """
    try:
        return read(CellRecord, record.path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{record.path} was there a moment ago and is gone") from None
