"""Finds what implements a contract: entry points, and files given as `--plugin`."""
