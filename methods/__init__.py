"""Learngene initializers, one module each, found by entry point like any plugin's."""
