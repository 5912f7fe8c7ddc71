"""Text of others on a terminal: labels, errors, logs and names of files may hold what a terminal obeys."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and new line, characters that turn the direction of text, and halves of characters."""


def terminal_text(text: str) -> str:
    """Returns a text that a terminal shows and does not obey: no escape sequences, and lines that begin at the left.

    >>> terminal_text("a\\x1b[2Jb\\r\\n")
    'a\ufffd[2Jb\\n'
    """
    return _OBEYED.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


class TerminalConsole(Console):
    """A console that shows labels, errors and logs of others without what a terminal would obey in them."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=terminal_text(segment.text))
