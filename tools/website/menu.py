"""The menu of the site, read from the tables of docs/README.md: a section for each heading, a page for each row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HEADING = re.compile(r"^(##+) (.+)$")
ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)#\s]+)\) \|")

Menu = list[dict[str, Any]]
"""A menu of MkDocs: a list of titles, each with the path of a page or with such a list."""


Made = Mapping[str, Mapping[str, Sequence[tuple[str, str]]]]
"""Titles and paths of pages that are made from the code, by heading and group; a group without name is none."""


def read(index: str, made: Made) -> Menu:
    """Reads the menu.

    Args:
        index: text of the index, with links as they are in the site.
        made: pages that are made from the code, which follow those of the index under the same heading.

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
    for heading, groups in made.items():
        if heading not in lists:
            raise ValueError(f"docs/README.md has no heading {heading!r}")
        for group, pages in groups.items():
            entries: Menu = [{title: path} for title, path in pages]
            lists[heading] += [{group: entries}] if group else entries
    return [entry for entry in menu if next(iter(entry.values()))]
