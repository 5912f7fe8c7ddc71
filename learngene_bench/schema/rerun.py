"""reruns.jsonl: who has computed a cell of a leaderboard once more, and what came out, a line for each re-run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from learngene_bench.schema.base import Address, Amount, Document, File, Scalar, Sha256, Text, Time, printable
from learngene_bench.schema.leaderboard import lines_text, read_lines
from learngene_bench.schema.provenance import SourceCode

RERUNS = "reruns.jsonl"

Outcome = Literal["same", "differs", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("same", "differs", "failed")

LONGEST_NAME = 80
"""Most characters of a name."""


def person(name: str) -> str:
    """Returns a person's name as a leaderboard has it: one line, single spaces.

    Raises:
        ValueError: it is empty, too long, or holds a semicolon, which separates names in cells.csv.
    """
    name = " ".join(printable(name).split())
    if not name or len(name) > LONGEST_NAME or ";" in name:
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters, and no semicolon")
    return name


def _is_a_name(name: str) -> str:
    if name != person(name):
        raise ValueError("a name has single spaces, and no control characters")
    return name


class Difference(Document):
    """Something that both say and that is not the same.

    Attributes:
        name: what it is: a metric, the learning curve, weights, a gene, something that was spent.
        recorded: what the record says; numbers have six digits, hashes twelve.
        repeated: what came out.
        remark: how far they are apart; empty where that is no number.
    """

    name: Text
    recorded: Text
    repeated: Text
    remark: Text = ""


class Rerun(File):
    """A line of reruns.jsonl: one person computed one cell again, with all that it needs.

    Attributes:
        address: address of the cell.
        label: name of the cell for people.
        seed: seed of the cell.
        by: name of the person.
        date: time at which it ended.
        seconds: time that computing the cell, its gene and its ancestors took; null if it failed.
        recorded: hash of the weights after fine-tuning, as they are recorded: it tells which record was compared.
        repeated: hash of the weights after fine-tuning that came out; null if it failed.
        differences: all that is not the same; empty if every number is the same to the last digit.
        failure: the stage that failed and its error; absent if it came to an end.
        obstacles: why the same bits were not to be expected, such as another processor; empty if they were.
        versions: versions of Python and the packages, by name.
        hardware: the machine, as in the provenance of a record; without the device if it failed.
        code: code of the suite.
    """

    address: Address
    label: Text
    seed: int
    by: Annotated[str, AfterValidator(_is_a_name)]
    date: Time
    seconds: Amount | None
    recorded: Sha256
    repeated: Sha256 | None
    differences: tuple[Difference, ...]
    failure: Text = Field("", exclude_if=lambda text: not text)
    obstacles: tuple[Text, ...]
    versions: dict[str, Text]
    hardware: dict[str, Scalar]
    code: SourceCode

    @property
    def outcome(self) -> Outcome:
        """The result in one word."""
        if self.failure:
            return "failed"
        return "differs" if self.differences else "same"

    @property
    def finding(self) -> tuple[object, ...]:
        """All that makes it another re-run than those before: person, cell, record and numbers."""
        return self.by.casefold(), self.address, self.recorded, self.repeated, self.differences, self.failure

    @model_validator(mode="after")
    def _has_one_outcome(self) -> Rerun:
        if bool(self.failure) == (self.repeated is not None):
            raise ValueError("a re-run has either the hash of weights or a failure")
        if self.failure and self.differences:
            raise ValueError("a re-run that failed has no numbers that could differ")
        if self.outcome == "same" and self.repeated != self.recorded:
            raise ValueError("'differences' is empty, but 'repeated' is not 'recorded'")
        if (self.seconds is None) != bool(self.failure):
            raise ValueError("'seconds' is null if the re-run failed, and only then")
        return self


def reruns_text(reruns: Iterable[Rerun]) -> str:
    """Returns the text of reruns.jsonl: by cell, the oldest first."""
    ordered = sorted(reruns, key=lambda line: (line.label, line.address, line.date, line.by))
    return lines_text(ordered)


def read_reruns(folder: Path) -> list[Rerun]:
    """Reads reruns.jsonl of a leaderboard; none if there is no such file. Errors are those of `read_stages`."""
    return read_lines(Rerun, folder / RERUNS)
