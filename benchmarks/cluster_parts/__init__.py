"""The parts of `simulated_cluster.py`: SLURM's commands and its queue, and the jobs on their nodes."""
