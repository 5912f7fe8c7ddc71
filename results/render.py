"""One function for each format that `lgbench report` writes."""

from learngene_bench.results.exports import csv, json
from learngene_bench.results.markdown import markdown
from learngene_bench.results.terminal import terminal

__all__ = ["csv", "json", "markdown", "terminal"]
