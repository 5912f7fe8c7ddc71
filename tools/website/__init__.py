"""Builds the documentation site: the pages of the repository in the order of docs/README.md, and pages of the code.

PYTHONPATH=tools python -m website        # or: make site
"""
