"""The version of the suite, and that of its protocol."""

__version__ = "0.4.0"

PROTOCOL = 3
"""Raised whenever a change of the suite makes numbers incomparable; in every address and record."""
