"""learngene-bench: a benchmark of learngene and initialization methods for Vision Transformers.

>>> learngene_bench.initialize(model, "mimetic")  # a timm model of one's own, in place      # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from learngene_bench.version import PROTOCOL, __version__

if TYPE_CHECKING:
    from learngene_bench.api.initialize import initialize as initialize

__all__ = ["PROTOCOL", "__version__", "initialize"]


def __getattr__(name: str) -> Any:
    # Importing the package must not import torch.
    if name == "initialize":
        from learngene_bench.api.initialize import initialize

        return initialize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
