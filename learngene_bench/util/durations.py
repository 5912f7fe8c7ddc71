"""Durations as text."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Formats a duration in the unit that suits it: 40 s, 12 min, 3.5 h, 9 days."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} days"
