"""Versions of the files, and the closed lists that several documents use. Each is stated here and nowhere else."""

from __future__ import annotations

from typing import Literal, get_args

from learngene_bench.config.grid import Axis

SCHEMA_VERSION = 2
"""Version of all documents. Raised when a file of the version before can no longer be read."""

FOLDER_DIGITS = 20
"""Digits of an address that name its folder."""

QUICK_RUNS = "runs-quick"
"""Folder that `lgbench run --quick` writes to; an ordinary run writes to `runs`."""

StageKind = Literal["ancestor", "gene", "cell"]
STAGE_KINDS: tuple[StageKind, ...] = get_args(StageKind)
"""Kinds of stages, in the order in which they are computed."""

Group = Literal["direct", "transfer", "learngene", "pre-training", "other"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Groups of methods, in the order of a table's rows."""

AXES: tuple[Axis, ...] = get_args(Axis)
"""Axes of tables: the possible differences between columns."""

Phase = Literal["ancestors", "prepare", "initialize", "finetune"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""Phases of a cell's cost, in order. The first two are its gene's, which other cells may share."""

DeviceKind = Literal["cpu", "cuda"]
