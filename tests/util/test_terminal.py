"""Text of others is shown on a terminal, never obeyed."""

from __future__ import annotations

import io

from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from learngene_bench.util.terminal import TerminalConsole, terminal_text

HOSTILE = "a\x1b]0;title\x07\x1b[2J\x9b31mb\u202ec\rd"


def test_a_terminal_obeys_nothing_of_it() -> None:
    assert terminal_text(HOSTILE) == "a\ufffd]0;title\ufffd\ufffd[2J\ufffd31mb\ufffdc\nd"
    assert terminal_text("æ 你 \U0001f600\ta\r\nb\n") == "æ 你 \U0001f600\ta\nb\n"


def test_a_console_styles_only_what_the_program_says() -> None:
    output = io.StringIO()
    console = TerminalConsole(file=output, force_terminal=True, color_system="standard", width=80)
    console.print(Text(HOSTILE), Panel(Text(HOSTILE)), style="red")
    console.print(f"[red]failed[/] {escape(HOSTILE)}")
    console.print(HOSTILE, markup=False, soft_wrap=True)
    with Live(Text(HOSTILE), console=console, auto_refresh=False) as live:
        live.refresh()
    written = output.getvalue()
    assert "\x1b[31m" in written
    for obeyed in ("\x1b]0;", "\x1b[2Jb", "\x07", "\x9b", "\u202e"):
        assert obeyed not in written
