"""The training loop, evaluation, and the networks that the suite trains itself."""
