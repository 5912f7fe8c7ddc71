"""Plans a run: which cells and stages follow from methods, a grid and a preset."""
