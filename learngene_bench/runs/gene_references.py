"""The words by which a gene of the hub is named, and the file that they lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from learngene_bench.util.errors import UserError

HUB = "hf://"
_REFERENCE = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(#sha256=(?P<sha256>[0-9a-f]{64}))?", re.ASCII
)


@dataclass(frozen=True)
class HubReference:
    """A gene on the hub.

    Attributes:
        repository: USER/NAME.
        revision: commit, branch or tag; None for the newest.
        sha256: hash that the file must have; None for any.
    """

    repository: str
    revision: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repository}{revision}{f'#sha256={self.sha256}' if self.sha256 else ''}"


@dataclass(frozen=True)
class GeneFile:
    """The file of a gene.

    Attributes:
        source: what names it and no other: a path, a name, or a reference with revision and hash.
        sha256: its hash.
    """

    path: Path
    source: str
    sha256: str


def parse_reference(text: str) -> HubReference:
    """Reads what names a gene on the hub.

    Raises:
        UserError: it does not name one; the message shows the form.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise UserError(f"{text}: a gene of the hub is {HUB}USER/NAME, or {HUB}USER/NAME@REVISION#sha256=HEX")
    return HubReference(match["repository"], match["revision"], match["sha256"])
