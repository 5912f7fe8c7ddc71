"""The parts of `benchmarks/gpu_check.py`: each module has `measure(settings, report)`."""
