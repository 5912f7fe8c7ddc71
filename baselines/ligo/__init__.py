"""LiGO: learned linear operators that grow a small trained model into a larger one (arXiv 2303.00980)."""
