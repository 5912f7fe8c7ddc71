"""Weights made of stored templates, W(l) = sum_t kron(S(l, t), T(t)), and training through them."""
