"""Learning curves for trackers: what a stage tells them while it is computed, and afterwards from its record."""
