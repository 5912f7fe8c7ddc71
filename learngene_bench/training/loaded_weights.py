"""Reads files of weights as people have them: safetensors or torch's, alone or wrapped, names with usual prefixes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from learngene_bench.util.errors import UserError, first_line
from learngene_bench.util.weight_files import check_weight_file

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")
"""Entries of averaged weights, which are taken before others, as timm does."""
WRAPPINGS = (
    *AVERAGED,
    "model_state_dict",
    "state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "teacher",
    "target_encoder",
    "student",
)
"""Entries in which training programs keep a state dict, the most specific first; of two networks the averaged one."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""Beginnings of all names, as wrappers of a network leave them: DataParallel, torch.compile, Lightning, and habits."""
MOST_NAMED = 8


def read_loaded_weights(path: Path, needed: Collection[str]) -> tuple[dict[str, Tensor], str]:
    """Reads the weights in a file; nothing is unpickled.

    Args:
        needed: names of the network that they are for.

    Returns:
        The tensors by name, and what was taken in words; empty where the file is a state dict and nothing else.

    Raises:
        UserError: no file of weights, or none that says its weights without unpickling; or a number is not finite.
    """
    check_weight_file(path, "checkpoint")
    state, taken = _unwrapped(_content(path), path)
    for prefix in PREFIXES * 2:  # as module._orig_mod. and _orig_mod.module.
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in needed):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            taken.append(f"names without {prefix!r}")
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"checkpoint {path}: numbers in {name} are not finite")
    return state, ", ".join(taken)


def _content(path: Path) -> Any:
    """Returns whatever a file holds, of whichever of the two kinds it is by its bytes."""
    with path.open("rb") as stream:
        start = stream.read(9)
    try:
        if start[8:] == b"{":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"checkpoint {path}: damaged safetensors: {first_line(error)[:200]}") from error
    except Exception as error:
        if needs := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
            raise UserError(
                f"checkpoint {path} is not weights-only: it holds a {needs[1]}, which only unpickling reads, and that "
                "may run any program. Save its weights alone, where you trust it: torch.save(the state dict, FILE)"
            ) from error
        reason = first_line(error)[:200]
        raise UserError(f"checkpoint {path} is neither safetensors nor weights-only: {reason}") from error


def _unwrapped(content: Any, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Finds the state dict in what a file holds."""
    taken: list[str] = []
    while isinstance(content, Mapping):
        if content and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in content.items()):
            return dict(content), taken
        inside = [name for name in WRAPPINGS if isinstance(content.get(name), Mapping) and content[name]]
        if not inside:
            break
        others = f" (not of {', '.join(inside[1:])})" if len(inside) > 1 else ""
        taken.append(f"weights of the entry {inside[0]!r}{others}")
        content = content[inside[0]]
    if isinstance(content, Mapping):
        names = [str(name)[:40] for name in content]
        found = f"entries {', '.join(names[:MOST_NAMED])}{', ...' * (len(names) > MOST_NAMED)}" if names else "nothing"
    else:
        found = f"an object of type {type(content).__name__}"
    raise UserError(
        f"checkpoint {path}: no weights found: it holds {found}; needed are tensors by name, alone or as the entry "
        f"{', '.join(WRAPPINGS)}"
    )
