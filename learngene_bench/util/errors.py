"""The errors a person can cause or meet, and the nearest valid name to what they typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: shown as one line, exit status 2, no traceback."""


class DamagedFile(UserError):
    """A file of ours that no longer reads as what it was written as."""


class MethodFailure(Exception):
    """A method or its training went wrong: recorded with the cell, exit status 1, the other cells go on."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that is not among the valid ones; the nearest ones come first.

    >>> str(unknown("method", "wav", ["he", "wave"]))
    "unknown method 'wav': did you mean 'wave'? (valid: he, wave)"
    """
    choices = sorted(valid)
    near = nearest(name, choices)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    listing = ", ".join(choices) or "none"
    return UserError(f"unknown {kind} {name!r}: {hint}(valid: {listing})")


def nearest(name: str, valid: Iterable[str]) -> list[str]:
    """The two valid names that are most like what was typed; none where none is."""
    return difflib.get_close_matches(name, sorted(valid), n=2, cutoff=0.5)


def one_line(error: Exception) -> str:
    """The first line of an error, with its type where that is not one of ours."""
    text = (str(error).strip().splitlines() or [""])[0]
    return text if isinstance(error, UserError | MethodFailure) else f"{type(error).__name__}: {text}"
