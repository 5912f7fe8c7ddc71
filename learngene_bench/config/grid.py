"""A grid says what is measured: which sizes at which depths and widths, on which tasks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from learngene_bench.config.section import Section

Axis = Literal["depth", "width", "task"]
"""Difference between the columns of a table."""


class Grid(Section):
    """The targets: every size of the preset at every depth, every width and on every task."""

    renamed: ClassVar = {"tuning_factor": "finetuning_factor"}

    name: str = Field(description="name for `--grid`")
    title: str = Field(description="title of its tables")
    axis: Axis = Field(description="difference between the columns of a table")
    depths: list[int] = Field(min_length=1, description="numbers of layers")
    width_factors: list[Annotated[float, Field(ge=1)]] = Field(
        [1.0], min_length=1, description="widths over the size's own; rounded up to whole heads"
    )
    sizes: list[str] | Literal["all", "middle"] = Field(
        "all", description="names of the preset's sizes; or its middle one by width"
    )
    tasks: list[str] | None = Field(
        None,
        min_length=1,
        description="names of the preset's downstream tasks, if the axis is 'task'; when absent all of `task_kind`",
    )
    task_kind: str = Field(
        "classification", description="kind of the downstream tasks that are measured when `tasks` is absent"
    )
    methods: str | None = Field(None, description="the rows when --method is not given, written like it")
    references: list[str] = Field(
        [], description="names of methods whose final results the others are to reach, in tables of the first epochs"
    )
    finetuning_factor: float = Field(1.0, gt=0, description="multiplies the number of fine-tuning epochs of the preset")

    @model_validator(mode="after")
    def _has_one_axis(self) -> Grid:
        if self.tasks is not None and self.axis != "task":
            raise ValueError(f"tasks belong to a grid of axis 'task', not {self.axis!r}")
        if self.task_kind != type(self).model_fields["task_kind"].default and self.axis != "task":
            raise ValueError(f"task_kind belongs to a grid of axis 'task', not {self.axis!r}")
        if isinstance(self.sizes, list) and not self.sizes:
            raise ValueError("sizes is empty")
        return self
