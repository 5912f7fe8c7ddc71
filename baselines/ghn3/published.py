"""Files of hypernetworks: safetensors to read, and the authors' pickles to be made into them once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.baselines.ghn3.layout import Shape, canonical, layout_of
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch
from learngene_bench.util.weight_files import check_weight_file

if TYPE_CHECKING:
    from torch import Tensor


def check_file(path: Path) -> None:
    """Looks at the names and shapes in a safetensors file; reads no weights and needs no torch.

    Raises:
        UserError: no such file, of another kind, or not of a GHN-3.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"ghn3.weights: {path}: {error.strerror}") from error
    check_weight_file(path, "ghn3.weights:")
    _check(path, status.st_mtime_ns, status.st_size)


@lru_cache
def _check(path: Path, changed: int, size: int) -> None:
    """Once for a file, though every target asks for it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            shapes = {canonical(name): tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            types = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"ghn3.weights: {path}: not a safetensors file ({error}); "
            f"lgbench gene convert-ghn3 FILE --trust makes one of the authors' files"
        ) from error
    layout_of(shapes, f"ghn3.weights: {path}")
    if not types <= {"F16", "BF16", "F32", "F64"}:
        raise UserError(f"ghn3.weights: {path}: not the weights of a GHN-3: numbers of type {', '.join(sorted(types))}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a checked file, in float32 and by the names of published files."""
    from safetensors.torch import load_file

    check_file(path)
    return {canonical(name): tensor.float() for name, tensor in load_file(path).items()}


def convert(path: Path) -> Mapping[str, Tensor]:
    """Reads a file as the authors publish it: a state dict that joblib has pickled. *Unpickling runs code.*

    Raises:
        UserError: it cannot be read, or holds anything else than the tensors of a GHN-3.
    """
    import joblib

    check_weight_file(path)
    try:
        state = joblib.load(path)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"{path}: not a file as GHN-3's authors publish, joblib cannot read it "
            f"({type(error).__name__}: {first[:200]})"
        ) from error
    tensors = _tensors(state, str(path))
    layout_of({name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(path))
    return tensors


def _tensors(state: Any, where: str) -> dict[str, Tensor]:
    """A state dict with nothing in it but finite tensors of floats."""
    if not isinstance(state, Mapping):
        raise UserError(f"{where}: holds an object of type {type(state).__name__}, not a state dict")
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, torch.Tensor) and value.is_floating_point()):
            raise UserError(f"{where}: entry {str(name)[:80]!r} is no tensor of floats, but a {type(value).__name__}")
        tensor = value.detach().cpu().float()
        if not tensor.isfinite().all():
            raise UserError(f"{where}: numbers in {name} are not finite")
        tensors[canonical(name)] = _matrix(name, tensor).contiguous()
    return tensors


def _matrix(name: str, tensor: Tensor) -> Tensor:
    """Decoders were convolutions of size 1 at first, and are linear layers since."""
    return tensor[:, :, 0, 0] if "decoder." in name and _is_pointwise(tuple(tensor.shape)) else tensor


def _is_pointwise(shape: Shape) -> bool:
    return len(shape) == 4 and shape[2:] == (1, 1)
