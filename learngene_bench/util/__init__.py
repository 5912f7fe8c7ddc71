"""Errors, files, provenance, signals and random streams: what every other room may use."""
