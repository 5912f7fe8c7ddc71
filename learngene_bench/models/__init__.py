"""The model families, one folder each, and what works on a model of any family."""
