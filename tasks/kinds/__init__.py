"""Task kinds with their metrics, one module each, found by entry point like any plugin's."""
