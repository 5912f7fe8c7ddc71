"""One function for each format that `lgbench report` writes."""

from learngene_bench.results.exports import csv, json
from learngene_bench.results.markdown import markdown
from learngene_bench.results.sheet_formats import sheet_csv, sheet_json, sheet_markdown, sheet_terminal
from learngene_bench.results.terminal import terminal

__all__ = ["csv", "json", "markdown", "sheet_csv", "sheet_json", "sheet_markdown", "sheet_terminal", "terminal"]
