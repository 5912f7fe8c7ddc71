"""Stores stages: folders by address, leases, manifests, tensors, and the look-up of a cell."""
