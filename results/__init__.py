"""From record files to tables, figures and exports; on any laptop, without torch.

>>> results = load([Path("runs")])                                # doctest: +SKIP
>>> print(render.markdown(tables(results)))                       # doctest: +SKIP
>>> plots.accuracy(results, Path("figures"))                      # doctest: +SKIP

Importing this is fast: scipy, matplotlib and pandas load only inside the functions that need them.
"""

from learngene_bench.results import plots, published, render
from learngene_bench.results.comparison import comparisons
from learngene_bench.results.comparison_formats import comparison_json, comparison_sheets
from learngene_bench.results.inference_sheets import statistics_sheets
from learngene_bench.results.loading import load
from learngene_bench.results.records import METRICS, Results
from learngene_bench.results.table import Table
from learngene_bench.results.tabulate import tables
from learngene_bench.results.tidy import to_frame

__all__ = [
    "METRICS",
    "Results",
    "Table",
    "comparison_json",
    "comparison_sheets",
    "comparisons",
    "load",
    "plots",
    "published",
    "render",
    "statistics_sheets",
    "tables",
    "to_frame",
]
