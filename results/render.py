"""One function for each format that `lgbench report` writes."""

from learngene_bench.results.comparison_formats import (
    comparison_csv,
    comparison_json,
    comparison_markdown,
    comparison_terminal,
)
from learngene_bench.results.exports import csv, json
from learngene_bench.results.markdown import markdown
from learngene_bench.results.terminal import terminal

__all__ = [
    "comparison_csv",
    "comparison_json",
    "comparison_markdown",
    "comparison_terminal",
    "csv",
    "json",
    "markdown",
    "terminal",
]
