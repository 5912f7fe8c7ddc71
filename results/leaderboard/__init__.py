"""Folders of records that others can check."""
