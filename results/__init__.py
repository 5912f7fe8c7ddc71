"""Makes tables, figures and exports from record files; on any laptop, without torch.

>>> results = load([Path("runs")])                                # doctest: +SKIP
>>> print(markdown(metric_reports(make_tables(results))))         # doctest: +SKIP
>>> plots.accuracy(results, Path("figures"))                      # doctest: +SKIP

Importing this is fast: scipy, matplotlib and pandas load only inside the functions that need them.
"""

from learngene_bench.results import plots
from learngene_bench.results.formats.markdown import markdown
from learngene_bench.results.records.choice import load_chosen
from learngene_bench.results.records.loading import load
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables import published
from learngene_bench.results.tables.comparison import comparisons
from learngene_bench.results.tables.comparison_report import comparison_reports
from learngene_bench.results.tables.cost_report import cost_reports
from learngene_bench.results.tables.inference_report import statistics_reports
from learngene_bench.results.tables.learning_report import learning_reports
from learngene_bench.results.tables.metric_report import metric_reports
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.report_table import ReportTable
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.results.tables.tidy import to_frame

__all__ = [
    "MetricTable",
    "ReportTable",
    "Results",
    "comparison_reports",
    "comparisons",
    "cost_reports",
    "learning_reports",
    "load",
    "load_chosen",
    "make_tables",
    "markdown",
    "metric_reports",
    "plots",
    "published",
    "statistics_reports",
    "to_frame",
]
