"""learngene-bench: a benchmark of learngene and initialization methods for Vision Transformers."""

__version__ = "0.1.0"

PROTOCOL = 1
"""Raised whenever a change of the suite makes numbers incomparable; in every address and record."""
