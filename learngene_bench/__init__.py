"""learngene-bench: a benchmark of learngene and initialization methods for Vision Transformers.

>>> learngene_bench.initialize(model, "mimetic")  # a timm model of one's own, in place      # doctest: +SKIP

>>> learngene_bench.run("wave,he", quick=True)            # the benchmark; a notebook shows the tables  # doctest: +SKIP
>>> learngene_bench.load("runs").table("depth")           # what was measured, as a data frame          # doctest: +SKIP

A plugin finds what it needs here:

>>> from learngene_bench import Initializer, Section, write_weights
"""

import importlib
from typing import TYPE_CHECKING, Any

from learngene_bench.version import PROTOCOL, __version__

if TYPE_CHECKING:
    from learngene_bench.api.benchmark import plan, run
    from learngene_bench.api.initialize import initialize
    from learngene_bench.api.measured import load
    from learngene_bench.config.section import Section
    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.dataset import Dataset, DatasetFacts, Splits
    from learngene_bench.contracts.executor import Executor
    from learngene_bench.contracts.family import ModelFamily, ModelSpec
    from learngene_bench.contracts.gene import Gene
    from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer, Pretrained
    from learngene_bench.contracts.metric import Metric
    from learngene_bench.contracts.task import TaskKind
    from learngene_bench.models.vit import ViTSpec
    from learngene_bench.models.weights import write_weights
    from learngene_bench.schema.metric import MetricSpec
    from learngene_bench.util.errors import MethodFailure, UserError

__all__ = [
    "PROTOCOL",
    "Context",
    "Dataset",
    "DatasetFacts",
    "Distiller",
    "Executor",
    "Gene",
    "GeneRequest",
    "Initializer",
    "MethodFailure",
    "Metric",
    "MetricSpec",
    "ModelFamily",
    "ModelSpec",
    "Pretrained",
    "Section",
    "Splits",
    "TaskKind",
    "UserError",
    "ViTSpec",
    "__version__",
    "initialize",
    "load",
    "plan",
    "run",
    "write_weights",
]

# Each module is imported when one of its names is first used: only `initialize` takes torch along.
_MODULES = {
    "api.benchmark": ("plan", "run"),
    "api.initialize": ("initialize",),
    "api.measured": ("load",),
    "config.section": ("Section",),
    "contracts.context": ("Context",),
    "contracts.dataset": ("Dataset", "DatasetFacts", "Splits"),
    "contracts.executor": ("Executor",),
    "contracts.family": ("ModelFamily", "ModelSpec"),
    "contracts.gene": ("Gene",),
    "contracts.initializer": ("Distiller", "GeneRequest", "Initializer", "Pretrained"),
    "contracts.metric": ("Metric",),
    "contracts.task": ("TaskKind",),
    "models.vit": ("ViTSpec",),
    "models.weights": ("write_weights",),
    "schema.metric": ("MetricSpec",),
    "util.errors": ("MethodFailure", "UserError"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
