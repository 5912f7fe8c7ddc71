"""Writes rows as a Parquet file: typed columns for data frames, databases and other languages."""

from __future__ import annotations

import io

from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.tidy import to_frame
from learngene_bench.util.errors import UserError


def parquet(results: Results) -> bytes:
    """Returns one row for each cell and seed; the columns are those of `tidy`, texts are as they are.

    Raises:
        UserError: pyarrow is not installed.
    """
    content = io.BytesIO()
    try:
        to_frame(results).to_parquet(content, engine="pyarrow", index=False)
    except ImportError as error:
        raise UserError("Parquet needs pyarrow: pip install pyarrow, or 'learngene-bench[parquet]'") from error
    return content.getvalue()
