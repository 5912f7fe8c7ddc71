"""The stages of a plan as jobs of a SLURM cluster. Torch is not imported."""
