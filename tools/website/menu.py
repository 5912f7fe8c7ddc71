"""The menu of the site, read from the tables of docs/README.md: a section for each heading, a page for each row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HEADING = re.compile(r"^(##+) (.+)$")
ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)#\s]+)\) \|")

Menu = list[dict[str, Any]]
"""A menu of MkDocs: a list of titles, each with the path of a page or with such a list."""


def read(index: str, made: Mapping[str, Sequence[tuple[str, str]]]) -> Menu:
    """Reads the menu.

    Args:
        index: text of the index, with links as they are in the site.
        made: titles and paths of pages that are made from the code, by the heading under which they follow.

    Raises:
        ValueError: there is no such heading.
    """
    menu: Menu = [{"Start here": [{"Start here": "index.md"}]}]
    lists: dict[str, Menu] = {"": menu[0]["Start here"]}
    section = current = ""
    for line in index.splitlines():
        if heading := HEADING.match(line):
            marks, current = heading.groups()
            lists[current] = []
            if len(marks) == 2:
                section = current
                menu.append({current: lists[current]})
            else:
                lists[section].append({current: lists[current]})
        elif row := ROW.match(line):
            lists[current].append({row[1]: row[2]})
    for title, entries in made.items():
        if title not in lists:
            raise ValueError(f"docs/README.md has no heading {title!r}")
        lists[title] += [{name: path} for name, path in entries]
    return [entry for entry in menu if next(iter(entry.values()))]
