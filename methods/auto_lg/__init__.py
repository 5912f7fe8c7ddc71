"""Auto-LG: a few whole blocks of a trained model, at the bottom of every target (arXiv 2305.02279)."""
