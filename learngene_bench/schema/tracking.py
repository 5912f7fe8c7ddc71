"""tracking/stages/TRACKER/FOLDER.json: what a tracker has been told of a stage."""

from __future__ import annotations

from learngene_bench.schema.base import Address, File, Text


class TrackedSoFar(File):
    """The points of a stage that a tracker has, so that none is told twice.

    Attributes:
        address: address of the stage.
        run: name by which the tracker finds the run of this stage again; null before there is one.
        steps: optimizer steps of the last point, by phase.
    """

    address: Address
    run: Text | None = None
    steps: dict[str, int]
