"""From what a training leaves to what a record says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from learngene_bench.schema.metric import CurvePoint


def curve_points(curve: Iterable[Mapping[str, Any]]) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            epoch=point["epoch"],
            iterations=point["iterations"],
            loss=point["loss"],
            metrics=None if point["top1"] is None else {"top1": point["top1"]},
        )
        for point in curve
    )
