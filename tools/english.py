"""Checks how docstrings, `#:` comments and help texts of the package begin.

    python tools/english.py [FOLDER OR FILE ...]    # one line for each fault; exit status 1 if there is any

A text begins with a verb or names its object: "Returns the first line of an error", "The first line of an error". It
does not begin with a preposition, a pronoun or a question word ("Whether ...", "Of one cell ..."): a reader cannot know
what such a text is about before its end.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from architecture import ROOT

FOLDERS = ("learngene_bench", "methods", "baselines", "tasks", "results", "tools", "benchmarks")

NOT_FIRST = frozenset(
    {"as", "by", "for", "from", "how", "if", "it", "of", "that", "these", "they", "those"}
    | {"what", "when", "where", "whether", "which", "who", "whose", "why", "with"}
)
"""Words that no text begins with."""

HELP_ARGUMENTS = ("help", "short_help", "description", "epilog")
"""Keyword arguments whose value a person reads."""


def faults(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of every text of a Python file that begins with one of the words."""
    for line, text in sorted({*_strings(path), *_comments(path)}):
        first = re.match(r"\W*([A-Za-z]+)", text)
        if first and first[1].lower() in NOT_FIRST:
            yield line, text.strip().splitlines()[0]


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yields docstrings of modules, classes, functions and attributes, and help texts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        # A docstring, or the string below an attribute: an expression that stands alone.
        values = [node.value] if isinstance(node, ast.Expr) else []
        if isinstance(node, ast.Call):
            values = [keyword.value for keyword in node.keywords if keyword.arg in HELP_ARGUMENTS]
        for value in values:
            if isinstance(value, ast.JoinedStr) and value.values:
                value = value.values[0]
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.lineno, value.value


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the first lines of `#:` comments."""
    last = -1
    with tokenize.open(path) as stream:
        for token in tokenize.generate_tokens(stream.readline):
            if token.type == tokenize.COMMENT and token.string.startswith("#:"):
                if token.start[0] != last + 1:
                    yield token.start[0], token.string[2:]
                last = token.start[0]


def python_files(places: Iterable[Path]) -> list[Path]:
    """Lists the Python files in folders, and the given files themselves."""
    return sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))


def main() -> None:
    """Prints the faults in the given places, or in all folders of the package."""
    places = [Path(place) for place in sys.argv[1:]] or [ROOT / folder for folder in FOLDERS]
    found = [f"{file}:{line}: {text}" for file in python_files(places) for line, text in faults(file)]
    print(*found or ["no fault"], sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
