"""Turns citations of methods, one line each, into BibTeX entries and a bibliography.

A citation names authors, title, and venue with year: `Xia et al., Transformer as Linear Expansion of Learngene, AAAI
2024`. Several are separated by semicolons. What does not read like this is the note of its entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from learngene_bench.results.formats.latex_text import escaped

_NAME = r"[^\W\d_a-z][\w'’-]*"
_AUTHORS = re.compile(rf"(?P<names>{_NAME}(?:, {_NAME})*)(?P<last> et al\.| and {_NAME}|), ")
_VENUE = re.compile(r"(?:^|, |(?<=, ))(?P<venue>(?:[A-Z][\w ]*? )?)(?P<year>(?:19|20)\d\d)$")


@dataclass(frozen=True)
class Reference:
    """One publication.

    Attributes:
        key: what `cite` calls it.
        authors: as BibTeX has them, `Xia and others`; empty where the citation names none.
        note: what follows the authors, where it does not read like title, venue and year.
        text: the citation as it stands with the method.
    """

    key: str
    authors: str
    title: str
    venue: str
    year: str
    note: str
    text: str

    @property
    def bibtex(self) -> str:
        """The entry; title and all letters of it as they are."""
        fields = {
            "author": escaped(self.authors),
            "title": f"{{{escaped(self.title)}}}" if self.title else "",
            "howpublished": escaped(self.venue),
            "year": self.year,
            "note": escaped(self.note),
            "key": "" if self.authors else self.key,  # what a bibliography is sorted by then
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@misc{{{self.key},", *lines, "}"]) + "\n"

    @property
    def item(self) -> str:
        """The entry of a `thebibliography`."""
        return rf"\bibitem{{{self.key}}} {escaped(self.text)}."


def references(citations: Mapping[str, str]) -> dict[str, list[Reference]]:
    """Returns the publications of each method; those that several methods cite are one.

    Args:
        citations: by method; methods without one are left out.
    """
    known: dict[str, Reference] = {}
    found: dict[str, list[Reference]] = {}
    for method, text in citations.items():
        parts = [part.strip() for part in text.replace("`", "").split(";") if part.strip()]
        for number, part in enumerate(parts, start=1):
            key = f"lgbench-{re.sub(r'[^a-z0-9]+', '-', method.lower())}{f'-{number}' if len(parts) > 1 else ''}"
            found.setdefault(method, []).append(known.setdefault(part, _reference(key, part)))
    return found


def entries(found: Mapping[str, Sequence[Reference]]) -> list[Reference]:
    """Returns every publication once."""
    return list({reference.key: reference for each in found.values() for reference in each}.values())


def _reference(key: str, text: str) -> Reference:
    authors = _AUTHORS.match(text)
    start = authors.end() if authors else 0
    names = " and ".join(_names(authors)) if authors else ""
    venue = _VENUE.search(text, start)
    if not venue:
        return Reference(key, names, "", "", "", text[start:], text)
    # The comma after the authors may be the one before the venue: `Gong et al., ICML 2019`.
    title = text[start : venue.start()].strip()
    return Reference(key, names, title, venue["venue"].strip(), venue["year"], "", text)


def _names(found: re.Match[str]) -> Iterator[str]:
    yield from found["names"].split(", ")
    if found["last"]:
        yield "others" if "et al" in found["last"] else found["last"].removeprefix(" and ")
