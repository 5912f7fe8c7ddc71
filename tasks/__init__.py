"""Grids and presets as TOML, data sets and kinds of tasks: all that says what is measured."""
