"""Direct, transfer and pre-training initializers, one module each, found by entry point like any plugin's."""
