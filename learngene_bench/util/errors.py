"""The kinds of errors, and the message for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from learngene_bench.util.words import natural_order


class UserError(Exception):
    """A mistake that the user can correct: printed as one line without a traceback, exit status 2."""

    def _render_traceback_(self) -> list[str]:
        """Returns what a notebook prints: IPython asks an exception for it."""
        return [f"{type(self).__name__}: {self}"]


class Faults:
    """Mistakes that a check finds, so that it names all of them and not only the first."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keeps the `UserError` of the block, which ends there."""
        try:
            yield
        except UserError as error:
            if str(error) not in self.lines:  # two checks may find one mistake
                self.lines.append(str(error))

    def raise_all(self) -> None:
        """Raises one `UserError` with a line for each mistake, if there is any."""
        if len(self.lines) > 1:
            raise UserError("\n".join([f"{len(self.lines)} faults:", *self.lines]))
        if self.lines:
            raise UserError(self.lines[0])


class DamagedFile(UserError):
    """A file that the suite wrote and that can no longer be read as such."""


class MethodFailure(Exception):
    """An error of a method or of its training: recorded with its cell, exit status 1; the other cells go on."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """Makes the error for an unknown name: it suggests the most similar valid names and lists all of them.

    >>> str(unknown("method", "wav", ["he", "wave"]))
    "unknown method 'wav': did you mean 'wave'? (valid: he, wave)"
    """
    choices = sorted(set(valid), key=natural_order)
    near = nearest(name, choices)
    hint = f": did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    listing = ", ".join(choices) or "none"
    return UserError(f"unknown {kind} {name!r}{hint} (valid: {listing})")


def nearest(name: str, valid: Iterable[str]) -> list[str]:
    """Returns the valid names that resemble `name` most: two at most, none if none is similar."""
    return difflib.get_close_matches(name, sorted(valid), n=2, cutoff=0.5)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, empty if it has none."""
    return (str(error).strip().splitlines() or [""])[0]


def describe_error(error: BaseException) -> str:
    """Returns the type of an error and the first line of its message."""
    kind, text = type(error).__name__, first_line(error)
    return f"{kind}: {text}" if text else kind


def one_line(error: Exception) -> str:
    """Returns the first line of an error's message, preceded by its type unless the error is the suite's own."""
    return first_line(error) if isinstance(error, UserError | MethodFailure) else describe_error(error)
