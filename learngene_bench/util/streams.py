"""Standard output and error that take any text: what only reports must not end what computes."""

from __future__ import annotations

import io
import sys


def accept_any_text(encoding: str | None = None) -> None:
    """Lets characters that the encoding has not be printed as a question mark, and not raise an error.

    Args:
        encoding: another encoding from now on, for logs; None for that of the terminal or the locale.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="replace")
