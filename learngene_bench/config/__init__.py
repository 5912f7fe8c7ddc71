"""Settings as types: recipes, presets, grids; read from TOML, overridden with `--set`, checked."""
