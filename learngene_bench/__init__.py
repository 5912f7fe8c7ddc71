"""learngene-bench: a benchmark of learngene and initialization methods for Vision Transformers.

>>> learngene_bench.initialize(model, "mimetic")  # a timm model of one's own, in place      # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learngene_bench.library import initialize as initialize

__version__ = "0.3.0"

PROTOCOL = 1
"""Raised whenever a change of the suite makes numbers incomparable; in every address and record."""


def __getattr__(name: str) -> Any:
    # Importing the package must not import torch.
    if name == "initialize":
        from learngene_bench.library import initialize

        return initialize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
