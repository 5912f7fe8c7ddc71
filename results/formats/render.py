"""One function for each format that `lgbench report` writes."""

from learngene_bench.results.formats.exports import csv, json, wide_csv
from learngene_bench.results.formats.html import html
from learngene_bench.results.formats.latex import document as latex_document
from learngene_bench.results.formats.latex import floats as latex_floats
from learngene_bench.results.formats.latex import latex
from learngene_bench.results.formats.latex_macros import macros as latex_macros
from learngene_bench.results.formats.markdown import markdown
from learngene_bench.results.formats.sheet_formats import sheet_csv, sheet_json, sheet_markdown, sheet_terminal
from learngene_bench.results.formats.terminal import terminal

__all__ = [
    "csv",
    "html",
    "json",
    "latex",
    "latex_document",
    "latex_floats",
    "latex_macros",
    "markdown",
    "sheet_csv",
    "sheet_json",
    "sheet_markdown",
    "sheet_terminal",
    "terminal",
    "wide_csv",
]
