"""Imports torch and numpy at their first use: `from learngene_bench.util.lazy import np, torch`.

Importing torch takes seconds, numpy a tenth of one, and `lgbench list` and `lgbench plan` only need a method's name,
the targets that it supports and the number of parameters that it stores. A module that answers such questions and also
computes with tensors or arrays imports them from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
else:

    class _LazyModule:
        """A stand-in for a module, which is imported when an attribute is first read."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    np, torch = _LazyModule("numpy"), _LazyModule("torch")
