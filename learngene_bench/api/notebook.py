"""Progress of a run in a notebook: one output of the cell, which is replaced in place.

It asks for no widgets: the display identifiers of the Jupyter protocol are enough, which JupyterLab, VS Code and Colab
know. A notebook that a program executes, such as nbclient or papermill, has no progress, as nobody sees it.
"""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from rich.console import RenderableType

from learngene_bench.util.terminal import TerminalConsole

SECONDS = 0.5
"""Least time between two changes of the output."""

WIDTH = 100
"""Columns of the output."""

_HTML = '<pre style="white-space: pre; overflow-x: auto; line-height: normal">{code}</pre>'


def in_notebook() -> bool:
    """Returns True in the kernel of a notebook, whoever executes it."""
    return _kernel() is not None


def is_watched() -> bool:
    """Returns True if a person executes the cell: only then can the front end be asked for input.

    A program that executes notebooks says that it cannot be asked (`allow_stdin` of the Jupyter protocol).
    """
    try:
        request = _kernel().get_parent("shell")
        return bool(request["content"]["allow_stdin"])
    except Exception:  # no kernel, or one that is made otherwise: a run goes on without
        return False


def _kernel() -> Any:
    """Returns the kernel that executes the cell; None outside of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None)


class NotebookPanel:
    """An output of the cell that is replaced in place; like `rich.live.Live`, as far as `Display` needs it.

    Args:
        seconds: least time between two changes.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._handle: Any = None
        self._waiting: RenderableType | None = None
        self._shown = -seconds

    def start(self) -> None:
        """Shows nothing yet."""

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None:
        """Replaces the output, unless it was replaced just now."""
        self._waiting = renderable
        if time.monotonic() - self._shown >= self.seconds:
            self._show()

    def stop(self) -> None:
        """Shows the last state, which stays."""
        self._show()

    def _show(self) -> None:
        if self._waiting is None:
            return
        content, self._waiting, self._shown = rendered(self._waiting), None, time.monotonic()
        if self._handle is None:
            from IPython.display import display

            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def rendered(renderable: RenderableType) -> dict[str, str]:
    """Returns what a notebook shows of something that rich prints, by MIME type; texts of others are escaped."""
    console = TerminalConsole(
        file=io.StringIO(), width=WIDTH, record=True, force_jupyter=False, force_terminal=True, color_system="truecolor"
    )
    console.print(renderable)
    html = console.export_html(inline_styles=True, code_format=_HTML, clear=False)
    return {"text/html": html, "text/plain": console.export_text().rstrip()}
