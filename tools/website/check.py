"""The built site leads nowhere wrong: every link and anchor in it exists, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements that a browser loads something for, with the attribute that says what."""
RELATIONS = {"canonical", "next", "prev"}
"""Kinds of `<link>` that a browser does not load."""
LIST_IN_TEXT = re.compile(r"^(?:[-*]|\d+\.) \S", re.MULTILINE)


class Page(HTMLParser):
    """A page of the site, and all that it refers to.

    Attributes:
        links: targets of links, as they are written.
        loaded: addresses of what a browser loads to show the page.
        anchors: names of its parts that a link can lead to.
        markup: lines of text that were meant as a list or a table.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.markup: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {name for name in (given.get("id"), given.get("name")) if name}
        if tag == "a" and given.get("href") is not None:
            self.links.append(given["href"] or "")
        address = given.get(LOADED.get(tag, ""))
        if address and not (tag == "link" and RELATIONS & {*(given.get("rel") or "").split()}):
            self.loaded.append(address)
        if tag in ("p", "pre", "code", "script", "style"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open == ["p"] and (LIST_IN_TEXT.search(data.partition("\n")[2]) or data.lstrip().startswith("|")):
            self.markup.append(" ".join(data.split())[:60])


def faults(folder: Path) -> Iterator[str]:
    """Yields a line for each fault of a built site."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(folder.resolve()).as_posix()
        for address in page.loaded:
            if re.match(r"(https?:)?//", address):
                yield f"{name}: loads {address}"
            elif not address.startswith("data:") and not _file(path, address).exists():
                yield f"{name}: there is no {address}"
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target = _file(path, link)
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(link.partition("#")[2])
            if not target.exists() or (target in pages and anchor not in pages[target].anchors):
                yield f"{name}: the link {link} leads nowhere"
        for text in page.markup:
            yield f"{name}: not shown as the list or table that it is: {text}"


def _file(page: Path, address: str) -> Path:
    """Returns the file that an address in a page means."""
    name = unquote(re.split(r"[?#]", address)[0])
    return (page.parent / name).resolve() if name else page
