"""Figures for a paper, PNG and PDF; one file for each kind of figure, all in the style of `style.py`."""

from learngene_bench.results.plots.accuracy import accuracy

__all__ = ["accuracy"]
