"""What is large in a record and seldom needed: its learning curve and where it comes from, read only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learngene_bench.results.records.fields import Fields, Scalar, read
from learngene_bench.results.records.types import Record
from learngene_bench.util.errors import DamagedFile, UserError


@dataclass(frozen=True)
class Point:
    """One measurement while the target is tuned; the first is of the target as initialized.

    Attributes:
        iterations: of tuning, so far.
        loss: mean training loss since the point before; None for the first.
        top1: percent of the test images; None where only the loss was measured.
    """

    epoch: float
    iterations: int
    loss: float | None
    top1: float | None


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from.

    Attributes:
        command: as typed, word by word.
        versions: of Python and the packages, by name.
        hardware: device, accelerator, cpu, cores, threads, system.
        commit: of the suite; None when it was installed as a wheel.
        dirty: whether the suite had changes that are in no commit; None likewise.
        started: UTC, ISO 8601.
        finished: likewise.
        data: the data set's name, options and fingerprint.
    """

    command: tuple[str, ...]
    versions: Mapping[str, Scalar]
    hardware: Mapping[str, Scalar]
    commit: str | None
    dirty: bool | None
    started: str
    finished: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Details:
    curve: tuple[Point, ...]
    provenance: Provenance


def details(record: Record) -> Details:
    """The record's file once more; kept in no memory, as thousands of records would fill it.

    Raises:
        DamagedFile: they do not read as what they were written as.
        UserError: the file is gone.
    """
    try:
        fields = read(record.path)
        return Details(tuple(map(_point, fields.objects("curve"))), provenance(fields.fields("provenance")))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{record.path} was there a moment ago and is gone") from None
    except ValueError as error:
        folder = record.path.parent
        raise DamagedFile(f"{record.path} is damaged ({error}): delete the folder {folder} and run again") from None


def _point(fields: Fields) -> Point:
    return Point(
        epoch=fields.number("epoch"),
        iterations=fields.whole("iterations"),
        loss=fields.number_or_none("loss"),
        top1=fields.number_or_none("top1"),
    )


def provenance(fields: Fields) -> Provenance:
    """What stands under "provenance" in the record of any stage.

    Raises:
        ValueError: something is missing or of another type.
    """
    git = fields.fields("git")
    return Provenance(
        command=tuple(fields.texts("command")),
        versions=fields.fields("versions").scalars(),
        hardware=fields.fields("hardware").scalars(),
        commit=git.text_or_none("commit"),
        dirty=git.truth_or_none("dirty"),
        started=fields.text("started"),
        finished=fields.text("finished"),
        data=fields.fields("data").content(),
    )
