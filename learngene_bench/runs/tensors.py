"""Files of tensors beside a stage's record: written whole, named by their hash, checked when they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from learngene_bench.runs.store import StageFolder
from learngene_bench.schema.record import Tensors
from learngene_bench.util.errors import DamagedFile
from learngene_bench.util.files import file_hash, write_bytes


def describe(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Returns a hash of all weights, and mean, standard deviation and norm of each tensor."""
    digest = hashlib.sha256()
    tensors = {}
    for name, tensor in sorted(weights.items()):
        value = tensor.detach().cpu().float().contiguous()
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
        value = value if value.norm().isfinite() else value.double()  # finite numbers whose squares are not
        tensors[name] = {
            "mean": float(value.mean()),
            "std": float(value.std(correction=0)),
            "norm": float(value.norm()),
        }
    return {"sha256": digest.hexdigest(), "tensors": tensors}


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes tensors whole or not at all."""
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def describe_file(path: Path) -> Tensors:
    """Returns what a record says of a file of tensors: tables count what is stored where only the record is."""
    return Tensors(sha256=file_hash(path), bytes=path.stat().st_size)


def load_tensors(folder: StageFolder, recorded: Tensors) -> dict[str, Tensor]:
    """Loads the tensors of a finished stage.

    Raises:
        DamagedFile: they are not those of its record.
    """
    check_hash(folder, recorded)
    try:
        return load_file(folder.tensors)
    except SafetensorError as error:
        raise DamagedFile(f"{folder.tensors}: damaged ({error}); move its folder away and run again") from error


def check_hash(folder: StageFolder, recorded: Tensors) -> None:
    """Raises `DamagedFile` if a finished stage's tensors are not those of its record."""
    if not folder.tensors.is_file():
        raise DamagedFile(f"{folder.tensors} is missing; move its folder away and run again")
    if file_hash(folder.tensors) != recorded.sha256:
        raise DamagedFile(f"{folder.tensors}: damaged (its hash differs); move its folder away and run again")
