"""Helpers that every other room may use: errors, files, provenance, signals, random streams."""
