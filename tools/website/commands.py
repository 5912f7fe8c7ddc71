"""Pages of the commands, as their own help texts have it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import typer

# typer's own `utils docs` calls it; no other name of that is public.
from typer.cli import get_docs_for_click

from learngene_bench.cli.main import app

WORDS = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER"}
"""Words for a value on a command line."""
HEAD = """# Command line

Every command with its options, as `lgbench COMMAND --help` has them. Which command is for what, how to name a cell and
how to change a setting: [the commands](../../commands.md).

| command | purpose |
|---|---|
"""


def pages() -> Iterator[tuple[str, str, str]]:
    """Yields title, file name and text of a page for each command, after one that lists them."""
    command = typer.main.get_command(app)
    context = command.make_context("lgbench", [], resilient_parsing=True)
    texts = re.split(r"^(?=## )", get_docs_for_click(obj=command, ctx=context, name="lgbench"), flags=re.MULTILINE)
    verbs = [(_name(text), text) for text in texts[1:]]
    rows = [f"| [`lgbench {verb}`]({verb}.md) | {_purpose(text)} |\n" for verb, text in verbs]
    yield "All commands", "index.md", HEAD + "".join(rows) + _options(texts[0])
    for verb, text in verbs:
        yield f"lgbench {verb}", f"{verb}.md", re.sub(r"^#(#+ )", r"\1", _tables(text), flags=re.MULTILINE)


def _name(text: str) -> str:
    return text.partition("`lgbench ")[2].partition("`")[0]


def _purpose(text: str) -> str:
    """Returns the first sentence of a command's help text."""
    return text.split("\n\n")[1].partition(". ")[0].replace("\n", " ").rstrip(".")


def _options(text: str) -> str:
    """Returns the options of `lgbench` itself."""
    return "\n## Options of all commands\n\n" + _tables(
        text.partition("**Options**:\n\n")[2].partition("**Commands**")[0]
    )


def _tables(text: str) -> str:
    """Makes a table of each list of options, arguments or commands, and its heading smaller."""
    rows = re.compile(r"(?:^\* `.+\n)+", re.MULTILINE)
    return rows.sub(lambda found: _table(found[0]), html.unescape(text)).replace("```console", "```sh")


def _table(listed: str) -> str:
    entries = re.findall(r"^\* `(.+?)`(?:: (.*))?$", listed, re.MULTILINE)
    lines = [f"| `{_typed(name)}` | {_cell(meaning)} |\n" for name, meaning in entries]
    return "| | |\n|---|---|\n" + "".join(lines)


def _typed(name: str) -> str:
    """Returns an option with the word for its value, where click writes a type of Python."""
    return re.sub(r"<(list\[)?(str|int|float)( range)?\]?>", lambda found: WORDS[found[2]], name)


def _cell(text: str) -> str:
    """Returns a help text that is safe in a table; its default stands in code."""
    text = re.sub(r"\s*\[default: (.+?)(; .+?)?\]$", r" Default: `\1`\2.", text)
    return text.replace("|", "\\|").replace("<", "&lt;")
