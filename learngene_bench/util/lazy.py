"""`from learngene_bench.util.lazy import torch`: torch, imported at its first use.

Importing torch takes seconds. A method's module also says what the method is called, what it supports and
how many parameters it stores, and `lgbench list` and `lgbench plan` ask only that; so the modules of this
package that both answer such questions and compute with tensors take torch from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
else:

    class _LazyModule:
        """Stands for a module and imports it when an attribute is first read."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    torch = _LazyModule("torch")
