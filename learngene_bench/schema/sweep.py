"""Sweeps: plans of one intention, in which every method is measured at several settings on validation images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from learngene_bench.schema.base import Address, Document, Text

Role = Literal["trials", "selected"]


class SweptSetting(Document):
    """A setting that differs between trials.

    Attributes:
        key: the setting as after `--set`.
        values: its values as typed: a list, or a range to draw from.
    """

    key: Text
    values: Text


class SweptRow(Document):
    """A row of a plan of a sweep.

    Attributes:
        method: name of the method.
        size: name of the preset's size.
        variant: options and recipe overrides of the row, those of the trial among them.
        default: the same without the trial: all trials of one row have it in common.
        trial: values of the trial by key, as typed after `--set`.
    """

    method: Text
    size: Text
    variant: Text
    default: Text
    trial: dict[Text, Text]


class Sweep(Document):
    """The part of a plan in a sweep.

    Attributes:
        address: hash of what is swept and where; plans of one address belong into one table.
        of: the setting in which nothing is swept.
        of_description: its description.
        ordinary: address of the same sweep with ordinary budgets, if budgets are equal.
        role: "trials" are measured on validation images; "selected" on test images, at the settings selected by then.
        swept: what differs between the trials, settings that all methods have first.
        trials: number of trials of every method.
        trial_seed: seed of the random draws; null where every combination is a trial.
        rows: the rows of the plan.
    """

    address: Address
    of: Address
    of_description: Text
    ordinary: Address | None = None
    role: Role
    swept: tuple[SweptSetting, ...]
    trials: int = Field(ge=2)
    trial_seed: int | None = None
    rows: tuple[SweptRow, ...]
