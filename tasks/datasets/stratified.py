"""Stratified splits, to the last index those of scikit-learn's `train_test_split`, without the second of its import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.random import RandomState


def stratified_split(labels: np.ndarray, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares images out so that each class has its share in both parts.

    Args:
        labels: class of each image, (N,).
        held_out: images of the second part.

    Returns:
        The indices of both parts, (N - held_out,) and (held_out,), each in a random order.
    """
    random = np.random.RandomState(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    counts = np.array([len(each) for each in members])
    kept = _shares(counts, len(labels) - held_out, random)
    left = _shares(counts - kept, held_out, random)
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for each, first, second in zip(members, kept, left, strict=True):
        shuffled = each[random.permutation(len(each))]
        parts[0].append(shuffled[:first])
        parts[1].append(shuffled[first : first + second])
    one, other = (random.permutation(np.concatenate(part)) for part in parts)
    return one, other


def _shares(counts: np.ndarray, total: int, random: RandomState) -> np.ndarray:
    """Shares a total out in proportion to counts; those with the largest remainders are rounded up, ties at random."""
    exact = counts / counts.sum() * total
    shares = np.floor(exact)
    remainders, missing = exact - shares, int(total - shares.sum())
    for remainder in np.unique(remainders)[::-1]:
        if not missing:
            break
        alike = np.flatnonzero(remainders == remainder)
        rounded_up = random.choice(alike, size=min(len(alike), missing), replace=False)
        shares[rounded_up] += 1
        missing -= len(rounded_up)
    return shares.astype(int)
