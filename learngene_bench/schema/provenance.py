"""Origin of a record: command, code, versions, machine, data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from learngene_bench.schema.base import DataIdentity, Document, Scalar, Sha256, Text, Time

Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class Git(Document):
    """The checkout that the suite ran from.

    Attributes:
        commit: its commit; null when the suite was installed as a wheel.
        dirty: true if it had changes that are in no commit; null likewise, or if git did not say.
    """

    commit: Commit | None
    dirty: bool | None


class SourceCode(Git):
    """The code of the suite.

    Attributes:
        sha256: hash of all files that numbers depend on.
    """

    sha256: Sha256


class ComputedBy(Document):
    """The code that computed a record, and the one that was submitted.

    Attributes:
        sha256: hash of the code that computed.
        submitted: code that the run was started with; null where it was not written down.
    """

    sha256: Sha256
    submitted: SourceCode | None = None


class Part(Document):
    """A part of the training images; `data.subsets` has the rule by which it is drawn.

    Attributes:
        share: percentage of the training images.
        seed: seed that it is drawn by.
    """

    share: float
    seed: int


class TaskData(Document):
    """A downstream task.

    Attributes:
        data: its data set.
        part: the part of its training images that targets are fine-tuned on; absent for all.
    """

    data: DataIdentity
    part: Part | None = Field(None, exclude_if=lambda part: part is None)


class Provenance(Document):
    """Origin of a record.

    Attributes:
        command: the command as typed, word by word.
        versions: versions of Python and the packages, by name.
        hardware: device, accelerator, cpu, cores, threads, processes, system.
        git: checkout of the suite.
        code: code of the suite; null in records of early versions.
        started: time at which the stage began, last.
        finished: time at which it ended.
        data: data set of the source task.
        task: downstream task that a cell was measured on; null for the source task.
    """

    command: tuple[Text, ...]
    versions: dict[str, Text]
    hardware: dict[str, Scalar]
    git: Git
    code: ComputedBy | None = None
    started: Time
    finished: Time
    data: DataIdentity
    task: TaskData | None = None
