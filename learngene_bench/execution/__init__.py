"""Computes the stages of a plan: in this process, in a pool of workers, or as jobs of a cluster."""
