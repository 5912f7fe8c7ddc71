"""Decodes, caches and augments images, and makes batches of them."""
