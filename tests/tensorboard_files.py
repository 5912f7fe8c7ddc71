"""Curves in the event files of TensorBoard, read with its own reader."""

from __future__ import annotations

from pathlib import Path


def tensorboard_curves(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Returns all curves of a folder of trackings as (step, value), by run and name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        found[path.name] = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found
