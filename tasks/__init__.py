"""What is measured: presets and grids as TOML, and data sets."""
