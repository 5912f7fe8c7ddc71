"""The suite from Python: `initialize`, `run`, `plan`, `load`."""
