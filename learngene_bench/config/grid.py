"""A grid says what is measured: which sizes at which depths and widths, on which tasks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from learngene_bench.config.section import Section

Axis = Literal["depth", "width", "depth and width", "task", "horizon", "share"]
"""Difference between the columns of a table.

Along `horizon` and `share` they are one target, fine-tuned for longer or on more images; along the others, different
targets.
"""


class SourceModel(Section):
    """The trained model that all methods of a grid start from, of every size of the preset."""

    depth: int = Field(ge=1, description="number of layers")
    width_factor: float = Field(1.0, ge=1, description="width over the size's own; rounded up to whole heads")


class Grid(Section):
    """The targets: every size of the preset at every depth and width, on every task; the ways to fine-tune each."""

    renamed: ClassVar = {"tuning_factor": "finetuning_factor"}

    name: str = Field(description="name for `--grid`")
    title: str = Field(description="title of its tables")
    axis: Axis = Field(description="difference between the columns of a table")
    depths: list[int] = Field(min_length=1, description="numbers of layers")
    width_factors: list[Annotated[float, Field(ge=1)]] = Field(
        [1.0], min_length=1, description="widths over the size's own; rounded up to whole heads"
    )
    source_model: SourceModel | None = Field(
        None,
        description="trained model that every method that hands weights over takes them from, and which is no target "
        "itself; when absent each method chooses its own",
    )
    sizes: list[str] | Literal["all", "middle"] = Field(
        "all", description="names of the preset's sizes; or its middle one by width"
    )
    tasks: list[str] | None = Field(
        None,
        min_length=1,
        description="names of the preset's downstream tasks, if the axis is 'task' or 'share'; when absent all of "
        "`task_kind`",
    )
    task_kind: str = Field(
        "classification", description="kind of the downstream tasks that are measured when `tasks` is absent"
    )
    methods: str | None = Field(None, description="the rows when --method is not given, written like it")
    references: list[str] = Field(
        [], description="names of methods whose final results the others are to reach, in tables of the first epochs"
    )
    finetuning_factor: float = Field(1.0, gt=0, description="multiplies the number of fine-tuning epochs of the preset")

    horizons: list[Annotated[float, Field(gt=0)]] = Field(
        [1.0],
        min_length=1,
        description="lengths of fine-tuning over the preset's own, each with its schedule, if the axis is 'horizon'",
    )
    shares: list[Annotated[float, Field(gt=0, le=100)]] = Field(
        [100.0],
        min_length=1,
        description="percentages of the training images that targets are fine-tuned on, in as many steps as on all, if "
        "the axis is 'share'",
    )

    @property
    def is_downstream(self) -> bool:
        """True if targets are fine-tuned on downstream tasks."""
        return self.axis in ("task", "share")

    @model_validator(mode="after")
    def _has_one_axis(self) -> Grid:
        for name, axis in (("horizons", "horizon"), ("shares", "share")):
            if getattr(self, name) != type(self).model_fields[name].default and self.axis != axis:
                raise ValueError(f"{name} belong to a grid of axis {axis!r}, not {self.axis!r}")
        if self.source_model is not None and self.is_downstream:
            raise ValueError(f"source_model belongs to a grid of the source task, not to one of axis {self.axis!r}")
        if self.tasks is not None and not self.is_downstream:
            raise ValueError(f"tasks belong to a grid of axis 'task' or 'share', not {self.axis!r}")
        if self.task_kind != type(self).model_fields["task_kind"].default and not self.is_downstream:
            raise ValueError(f"task_kind belongs to a grid of axis 'task' or 'share', not {self.axis!r}")
        if isinstance(self.sizes, list) and not self.sizes:
            raise ValueError("sizes is empty")
        return self
