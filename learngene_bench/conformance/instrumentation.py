"""Watching a method at work: what it trains and reads, what it disturbs, whether it reaches for test data.

For `lgbench check`: nothing here runs in a benchmark.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.dataset import Dataset
from learngene_bench.data.batch_augment import DeviceImages, SplitImages
from learngene_bench.execution.stage_data import load_data
from learngene_bench.schema.cost import Cost
from learngene_bench.training.context import MeteredContext, SourceData


@dataclass
class Observed:
    """What one call of `prepare` or `initialize` did.

    Attributes:
        phase: the call, as a problem names it.
        declared: recipes that it said it trains by, in `declaration`.
        iterations: those of these recipes together.
        trained: recipes in the order of `context.train`.
        undeclared: recipes it wanted to train by without having said so.
        images: training images that it was given.
        backward: backward passes outside `context.train`.
        disturbed: states of the whole process that it changed.
        test_data: ways in which it reached for the test split.
        cost: what the context's meter shows.
    """

    phase: str
    declaration: str
    declared: tuple[str, ...]
    iterations: int
    trained: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    images: int = 0
    backward: int = 0
    disturbed: list[str] = field(default_factory=list)
    test_data: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    error: BaseException | None = None
    training: bool = False

    @property
    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.error)) if self.error else ""

    def count_images(self, number: int) -> None:
        self.images += number


class TestDataTouched(Exception):
    """Raised in a method that reaches for the test split."""

    __test__ = False  # no test class, whatever pytest thinks of the name


@contextmanager
def watch(observed: Observed, context: MeteredContext, data: Dataset, scramble: int) -> Iterator[None]:
    """Watches a method's call and keeps its error, if any; leaves global states as they were.

    Args:
        scramble: global random states start from this number, so that whoever draws from them is found out.
    """
    with ExitStack() as stack:
        stack.enter_context(_global_states_watched(observed, scramble))
        stack.enter_context(_test_data_guarded(observed, data))
        stack.enter_context(_backward_counted(observed))
        try:
            yield
        except (Exception, SystemExit) as error:
            observed.error = error
        observed.cost = context.cost


class WatchedContext(MeteredContext):
    """A context that tells what was asked of it."""

    observed: Observed

    @staticmethod
    def of(context: MeteredContext, observed: Observed) -> WatchedContext:
        watched = WatchedContext(**{part.name: getattr(context, part.name) for part in fields(MeteredContext)})
        watched.observed = observed
        source = context.source
        if source is not None:
            watched.source = SourceData(
                train={name: _Counted(images, observed) for name, images in source.train.items()},
                plain=_Counted(source.plain, observed),
                validation=source.validation,
                classes=source.classes,
            )
        return watched

    def train(
        self,
        network: nn.Module,
        recipe: str,
        *,
        teacher: str | None = None,
    ) -> TrainResult:
        observed = self.observed
        (observed.trained if recipe in self.recipes else observed.undeclared).append(recipe)
        observed.training = True
        try:
            return super().train(network, recipe, teacher=teacher)
        finally:
            observed.training = False


class _Counted(DeviceImages):
    """Training images that are counted as they are handed out."""

    def __init__(self, images: SplitImages, observed: Observed) -> None:
        assert isinstance(images, DeviceImages)  # as those of the miniature are
        self.__dict__.update(images.__dict__)
        self.observed = observed

    def batch(self, index: Tensor, generator: torch.Generator, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        self.observed.count_images(len(index))
        return super().batch(index, generator, noise)

    def eval_batches(self, batch_size: int, first: int = 0, end: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in super().eval_batches(batch_size, first, end):
            self.observed.count_images(len(labels))
            yield images, labels


@contextmanager
def _global_states_watched(observed: Observed, scramble: int) -> Iterator[None]:
    before = _global_states()
    torch.manual_seed(scramble)
    np.random.seed(scramble)  # noqa: NPY002
    random.seed(scramble)
    scrambled = _global_states()
    try:
        yield
        left = _global_states()
        observed.disturbed = [name for name in scrambled if left[name][0] != scrambled[name][0]]
    finally:
        for _, restore in before.values():
            restore()


def _global_states() -> dict[str, tuple[Any, Callable[[], object]]]:
    """By name, a state of the whole process as something to compare, and how to come back to it."""
    torchs, numpys, pythons = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    return {
        "torch's random state": (torchs.numpy().tobytes(), lambda: torch.set_rng_state(torchs)),
        "numpy's random state": (repr(numpys), lambda: np.random.set_state(numpys)),  # noqa: NPY002
        "Python's random state": (pythons, lambda: random.setstate(pythons)),
        "torch's default dtype": (dtype, lambda: torch.set_default_dtype(dtype)),
        "whether torch records gradients": (gradients, lambda: torch.set_grad_enabled(gradients)),
    }


@contextmanager
def _backward_counted(observed: Observed) -> Iterator[None]:
    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            observed.backward += not observed.training
            return function(*arguments, **keywords)

        return wrapped

    with (
        mock.patch.object(torch.autograd, "backward", counting(torch.autograd.backward)),
        mock.patch.object(torch.autograd, "grad", counting(torch.autograd.grad)),
    ):
        yield


@contextmanager
def _test_data_guarded(observed: Observed, data: Dataset) -> Iterator[None]:
    """No way leads to the test split: not through the suite, and not to the file that the digits lie in."""

    def touched(way: str) -> None:
        observed.test_data.append(way)
        raise TestDataTouched(f"{way}: the test split is not for initializers")

    def load(self: Dataset) -> None:
        touched(f"{type(self).__name__}.load()")

    load_data.cache_clear()
    with mock.patch.object(type(data), "load", load), _opening_guarded("digits.csv", touched):
        yield
    load_data.cache_clear()


_guards: list[tuple[str, Callable[[str], None]]] = []


@contextmanager
def _opening_guarded(name: str, touched: Callable[[str], None]) -> Iterator[None]:
    if not _hooks:
        _hooks.append(_on_open)
        sys.addaudithook(_on_open)  # can never be removed, so there is one, and it does nothing without a guard
    _guards.append((name, touched))
    try:
        yield
    finally:
        _guards.pop()


def _on_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _guards:
        for name, touched in _guards:
            if name in str(arguments[0]):
                touched(f"opening {name}")


_hooks: list[Callable[..., None]] = []
