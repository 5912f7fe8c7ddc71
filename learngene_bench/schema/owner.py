"""owner-NUMBER.json: the process that computes a stage, or did so last. The file's time is its latest heartbeat."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from learngene_bench.schema.base import Document, Text


class Owner(Document):
    """A process that computes a stage.

    Attributes:
        host: name of its machine.
        pid_namespace: the set of process ids that `pid` is one of: one boot of one machine, one container on it.
        pid: its process id.
        start_ticks: start of the process, in its machine's ticks, as process ids are used again.
        job: id of the scheduler's job that it works for, if any.
        since: when it took the stage, seconds since 1970; null where an earlier version wrote the file.
        released: true once it has let the stage go.
    """

    host: Text
    pid_namespace: str
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    start_ticks: Annotated[str, Field(pattern=r"^\d{0,20}$")]
    job: Text | None = None
    since: Annotated[float, Field(ge=0, lt=2**33)] | None = None
    released: bool = False
