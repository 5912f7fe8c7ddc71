"""Controls whose residual branches add little or nothing at first: Fixup-like scales of their last layers."""
