"""WAVE: weight templates, joined by Kronecker products (arXiv 2406.17503)."""
