"""Checkpoints of a training run: rank 0 reads and writes them, all processes continue from the same one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from learngene_bench.distributed import World
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import read_bytes, write_bytes


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint whole or not at all.

    Args:
        state: tensors, numbers and texts, as it is read with `weights_only=True`; `processes` and `device` among them.

    Raises:
        UserError: the disk is full.
    """
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def read_checkpoint(path: Path, world: World, device: str) -> dict[str, Any] | None:
    """Reads the state that a run continues from.

    Args:
        device: kind of device that trains. An unfinished training of another kind starts again, as its random numbers
            cannot be continued.

    Returns:
        None if there is nothing to continue from.

    Raises:
        UserError: the file is damaged, or was written by another number of processes.
    """
    try:
        found = read_bytes(path) if world.is_rank0 and path.exists() else None
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read: {error.strerror}") from error
    content = world.broadcast_bytes(found)  # on a network file system the others may not see the file yet
    if content is None:
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        processes, saved_on = state["processes"], state["device"]
    except Exception as error:
        raise DamagedFile(f"{path}: damaged checkpoint: move it away and run again") from error
    if processes != world.size:
        raise UserError(
            f"{path}: saved by {processes} processes, and now there are {world.size}; "
            f"run with --processes-per-model {processes}, or move it away to start again"
        )
    return None if saved_on != device and "training" in state else state
