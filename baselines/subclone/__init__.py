"""Weight subcloning: a small model takes the most active channels, heads and hidden units of a larger trained one."""
