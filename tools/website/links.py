"""Links of a page in the repository, turned into those of the page in the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2`*~* *$", re.DOTALL | re.MULTILINE)
"""A block of code."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
"""A link or picture: an exclamation mark or nothing, label, target."""


TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def moved(text: str, page: str, places: Mapping[str, str], root: Path, source: str | None = None) -> str:
    """Changes the links of a page to where the files are in the site.

    A label that is the name of a file becomes the title of its page, as pages have other names there.

    Args:
        text: the page, as it is in the repository.
        page: path of the page in the repository.
        places: path in the site of every file of the repository that is there.
        root: folder of the repository.
        source: address of the repository's files on the web. Without it a link to a file that is not in the site
            becomes its label.

    Raises:
        ValueError: a link leads to no file of the repository.
    """
    here = posixpath.dirname(places[page])

    def change(link: re.Match[str]) -> str:
        picture, label, target = link.groups()
        file, hash_sign, anchor = target.partition("#")
        if ":" in file or not file:
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), file))
        place = places.get(path) or places.get(posixpath.join(path, "README.md"))
        if place:
            if file.endswith(".md") and posixpath.basename(file) in (label, posixpath.basename(label)):
                label = TITLE.findall((root / path).read_text(encoding="utf-8"))[0]
            return f"{picture}[{label}]({posixpath.relpath(place, here or '.')}{hash_sign}{anchor})"
        if not (root / path).exists():
            raise ValueError(f"{page}: no file {target}")
        return f"[{label}]({source}/{path})" if source else label

    return outside_blocks(text, lambda part: LINK.sub(change, part))


def outside_blocks(text: str, change: Callable[[str], str]) -> str:
    """Applies a change to all of a page but its blocks of code."""
    parts, end = [], 0
    for block in FENCE.finditer(text):
        parts += [change(text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(text[end:])])
