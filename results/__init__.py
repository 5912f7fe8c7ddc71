"""From record files to tables, figures and exports; on any laptop, without torch.

>>> results = load([Path("runs")])                                # doctest: +SKIP
>>> print(render.markdown(make_tables(results)))                       # doctest: +SKIP
>>> plots.accuracy(results, Path("figures"))                      # doctest: +SKIP

Importing this is fast: scipy, matplotlib and pandas load only inside the functions that need them.
"""

from learngene_bench.results import plots
from learngene_bench.results.formats import render
from learngene_bench.results.records.loading import load
from learngene_bench.results.records.types import METRICS, Results
from learngene_bench.results.tables import published
from learngene_bench.results.tables.comparison import comparisons
from learngene_bench.results.tables.comparison_formats import comparison_json, comparison_sheets
from learngene_bench.results.tables.inference_sheets import statistics_sheets
from learngene_bench.results.tables.table import Table
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.results.tables.tidy import to_frame

__all__ = [
    "METRICS",
    "Results",
    "Table",
    "comparison_json",
    "comparison_sheets",
    "comparisons",
    "load",
    "make_tables",
    "plots",
    "published",
    "render",
    "statistics_sheets",
    "to_frame",
]
