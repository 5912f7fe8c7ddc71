"""What a plugin implements: one file for each contract."""
