"""Traces a call of a method: what it trains and reads, which global states it changes, and attempts to read test data.

`lgbench check` uses this; nothing here runs in a benchmark.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.dataset import Dataset
from learngene_bench.data.batch_augment import Batch, DeviceImages, SplitImages
from learngene_bench.execution.stage_data import load_data
from learngene_bench.schema.cost import Cost
from learngene_bench.training.context import MeteredContext, SourceData


@dataclass
class CallTrace:
    """A record of one call of `prepare` or `initialize`.

    Attributes:
        phase: the call, as a problem names it.
        declaration: the place where the method declares its recipes.
        declared: recipes that the method declared to train by.
        iterations: iterations of these recipes together.
        trained: recipes in the order of `context.train`.
        undeclared: recipes that the method wanted to train by without having declared them.
        images: training images that were handed out.
        reads_images: True if some were, outside of a training.
        backward: True if there was a backward pass outside `context.train`.
        changed_global_state: states of the whole process that the call changed.
        test_data: ways in which the call reached for the test split.
        cost: the reading of the context's meter after the call.
        error: the error that the call raised.
    """

    phase: str
    declaration: str
    declared: tuple[str, ...]
    iterations: int
    trained: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    images: int = 0
    reads_images: bool = False
    backward: bool = False
    changed_global_state: list[str] = field(default_factory=list)
    test_data: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    error: BaseException | None = None
    hooks: saved_tensors_hooks = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Every backward pass unpacks the tensors that its forward pass saved.
        self.hooks = saved_tensors_hooks(lambda tensor: tensor.detach(), self._note_backward)

    @property
    def traceback(self) -> str:
        """The traceback of the error; empty without one."""
        return "".join(traceback.format_exception(self.error)) if self.error else ""

    @contextmanager
    def training(self) -> Iterator[None]:
        """Leaves out backward passes of `context.train`, which counts its work itself."""
        self.hooks.__exit__()
        try:
            yield
        finally:
            self.hooks.__enter__()

    def _note_backward(self, saved: Tensor) -> Tensor:
        self.backward = True
        return saved


class TestDataAccess(Exception):
    """Raised in a method that reaches for the test split."""

    __test__ = False  # no test class, whatever pytest thinks of the name


@contextmanager
def traced(trace: CallTrace, context: MeteredContext, data: Dataset, scramble: int) -> Iterator[None]:
    """Traces a method's call and keeps its error, if any; leaves global states as they were.

    Args:
        scramble: seed of the global random states, so that two calls that draw from them differ.
    """
    with ExitStack() as stack:
        stack.enter_context(_global_states_compared(trace, scramble))
        stack.enter_context(_test_data_guarded(trace, data))
        stack.enter_context(trace.hooks)
        try:
            yield
        except (Exception, SystemExit) as error:
            trace.error = error
        trace.cost = context.cost


class TracedContext(MeteredContext):
    """A context that notes what it is asked for."""

    trace: CallTrace

    @staticmethod
    def of(context: MeteredContext, trace: CallTrace) -> TracedContext:
        """Makes the same context with a trace."""
        traced = TracedContext(**{part.name: getattr(context, part.name) for part in fields(MeteredContext)})
        traced.trace = trace
        source = context.source
        if source is not None:
            traced.source = SourceData(
                train={name: _CountedImages(images, trace) for name, images in source.train.items()},
                plain=_CountedImages(source.plain, trace),
                validation=source.validation,
                classes=source.classes,
            )
        return traced

    def source_images(self, count: int) -> Tensor:
        self.trace.reads_images = True
        return super().source_images(count)

    def train(self, network: nn.Module, recipe: str, *, teacher: str | None = None) -> TrainResult:
        (self.trace.trained if recipe in self.recipes else self.trace.undeclared).append(recipe)
        with self.trace.training():
            return super().train(network, recipe, teacher=teacher)


class _CountedImages(DeviceImages):
    """Training images that are counted as they are handed out."""

    def __init__(self, images: SplitImages, trace: CallTrace) -> None:
        assert isinstance(images, DeviceImages)  # as those of the tiny benchmark are
        self.__dict__.update(images.__dict__)
        self.trace = trace

    def batch(self, index: Tensor, generator: torch.Generator, noise: torch.Generator) -> Batch:
        self.trace.images += len(index)
        return super().batch(index, generator, noise)

    def eval_batches(self, batch_size: int | None = None, first: int = 0, end: int | None = None) -> Iterator[Batch]:
        for images, labels in super().eval_batches(batch_size, first, end):
            self.trace.images += len(labels)
            yield images, labels


@contextmanager
def _global_states_compared(trace: CallTrace, scramble: int) -> Iterator[None]:
    before = _global_states()
    torch.manual_seed(scramble)
    np.random.seed(scramble)  # noqa: NPY002
    random.seed(scramble)
    scrambled = _global_states()
    try:
        yield
        after = _global_states()
        trace.changed_global_state = [name for name in scrambled if after[name][0] != scrambled[name][0]]
    finally:
        for _, restore in before.values():
            restore()


def _global_states() -> dict[str, tuple[Any, Callable[[], object]]]:
    """Reads states of the whole process: each as something to compare, with a function that restores it."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    return {
        "torch's random state": (torch_state.numpy().tobytes(), lambda: torch.set_rng_state(torch_state)),
        "numpy's random state": (
            (numpy_state["state"]["key"].tobytes(), numpy_state["state"]["pos"], numpy_state["has_gauss"]),
            lambda: np.random.set_state(numpy_state),  # noqa: NPY002
        ),
        "Python's random state": (python_state, lambda: random.setstate(python_state)),
        "torch's default dtype": (dtype, lambda: torch.set_default_dtype(dtype)),
        "whether torch records gradients": (gradients, lambda: torch.set_grad_enabled(gradients)),
    }


@contextmanager
def _test_data_guarded(trace: CallTrace, data: Dataset) -> Iterator[None]:
    """Makes loading this data set an error: a method sees data through its context only."""

    def load(self: Dataset) -> None:
        way = f"{type(self).__name__}.load()"
        trace.test_data.append(way)
        raise TestDataAccess(f"{way}: the test split is not for initializers")

    kind: Any = type(data)
    original = kind.load
    load_data.cache_clear()
    kind.load = load
    try:
        yield
    finally:
        kind.load = original
        load_data.cache_clear()
