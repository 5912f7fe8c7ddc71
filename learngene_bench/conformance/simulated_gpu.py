"""A GPU that is simulated on the CPU: its tensors hold numbers, mix with no tensor of the CPU, and every wait is noted.

A program runs on it to its end and computes what the CPU computes, but for rounding. What would fail on a GPU fails
here: a tensor that was left on the CPU, a generator of the wrong device. What would make the CPU wait is noted with its
place. Speed, memory, missing kernels, `torch.compile` and lower precision are not simulated: autocast changes nothing.

Two devices of torch were tried first, and see less (docs/extending.md). On `meta` a matrix product, a convolution or an
embedding accepts a tensor of the CPU, and nothing that reads a number goes on. `FakeTensorMode` refuses all mixtures,
but makes the numbers of the CPU unknown too, and lets a tensor be copied to the CPU unseen.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from learngene_bench.conformance.replaced_torch import DEVICE, check_generator, torch_replaced

WAITS = frozenset(
    {
        "_linalg_check_errors",
        "_local_scalar_dense",
        "_unique2",
        "bincount",
        "equal",
        "masked_select",
        "nonzero",
        "repeat_interleave",
        "unique_consecutive",
        "unique_dim",
    }
)
"""Operations after which the CPU waits for a GPU, as it must know a number, or a shape that depends on numbers."""
INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})
"""Operations that bring indices of the CPU to the GPU by themselves."""


LOOP = "_TrainingLoop.train"
"""The function that goes from step to step: it loads a batch and trains on it."""
BESIDE_STEPS = ("_TrainingLoop.measure", "_TrainingLoop.save")
"""Functions that it calls from time to time, and where a GPU must be waited for."""


class Wait(NamedTuple):
    """A moment at which the CPU waits until the GPU has finished all that it was given.

    Attributes:
        what: the operation, by torch's name.
        file: path of the innermost code that is not torch's.
        function: its function, with the class that it belongs to.
        within: the functions that called it, outermost first.
    """

    what: str
    file: str
    line: int
    function: str
    within: tuple[str, ...]

    @property
    def is_in_step(self) -> bool:
        """True if it is between two steps of one training, and so comes again at each of them."""
        functions = {*self.within, self.function}
        return LOOP in functions and functions.isdisjoint(BESIDE_STEPS)

    @property
    def place(self) -> str:
        """File, line and function."""
        return f"{Path(self.file).name}, line {self.line}, {self.function}"


class GpuTensor(Tensor):
    """A tensor of the simulated GPU. torch's own code takes it for one without numbers, and asks the mode to compute.

    Attributes:
        numbers: its numbers, on the CPU.
    """

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> GpuTensor:
        shape = torch.empty_strided(numbers.shape, numbers.stride(), dtype=numbers.dtype, device="meta")
        made: GpuTensor = Tensor._make_subclass(cls, shape, False, device_for_backend_keys=DEVICE)
        made.numbers = numbers
        return made

    def __init__(self, numbers: Tensor) -> None:
        """Takes numbers of the CPU without copying them."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        gpu = SimulatedGpu.current
        if gpu is None:
            raise RuntimeError(f"{func}: a tensor of the simulated GPU outlived it")
        return gpu.compute(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, GpuTensor) or value.shape != self.shape or value.dtype != self.dtype:
            raise NotImplementedError("parameter.data = a tensor of another kind, on the simulated GPU")
        self.numbers = value.numbers

    def numpy(self, *, force: bool = False) -> Any:
        """Refuses, as for any GPU. Raises `TypeError` unless forced."""
        if not force:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        return self.cpu().numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"GpuTensor(shape={tuple(self.shape)}, dtype={self.dtype}, device={DEVICE})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        gpu = SimulatedGpu.current
        if gpu is not None:
            gpu.note("save")
        return self.numbers.detach().clone().requires_grad_(self.requires_grad).__reduce_ex__(protocol)


class SimulatedGpu:
    """A context in which `torch.device("cuda", 0)` is simulated; tensors of it cannot be used outside.

    >>> with SimulatedGpu() as gpu:
    ...     total = torch.ones(3, device=gpu.device).sum()
    ...     float(total), [wait.what for wait in gpu.waits]
    (3.0, ['_local_scalar_dense'])

    Attributes:
        waits: every wait so far, in order.
    """

    current: SimulatedGpu | None = None

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.device = DEVICE
        self._stack = ExitStack()
        self._depth = 0

    def __enter__(self) -> SimulatedGpu:
        if SimulatedGpu.current is not None:
            raise RuntimeError("one GPU is simulated at a time")
        with ExitStack() as stack:
            stack.enter_context(torch_replaced())
            SimulatedGpu.current = self
            stack.callback(setattr, SimulatedGpu, "current", None)
            stack.enter_context(self._known_to_ddp())
            stack.enter_context(_Functions(self))
            stack.enter_context(_Operations(self))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Marks code of torch that was given tensors of this GPU, and takes them for ones of `meta`."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @contextmanager
    def _known_to_ddp(self) -> Iterator[None]:
        """Lets `DistributedDataParallel` make its buckets on this GPU; its processes form a group of gloo."""
        originals = {name: getattr(DistributedDataParallel, name) for name in ("__init__", "forward")}
        try:
            for name, original in originals.items():
                setattr(DistributedDataParallel, name, self.inside()(original))
            yield
        finally:
            for name, original in originals.items():
                setattr(DistributedDataParallel, name, original)

    def note(self, what: str) -> None:
        """Notes a wait at the place where it is."""
        frame, innermost, within = sys._getframe(1), None, []
        while frame is not None:
            if not _is_torch(frame.f_code.co_filename):
                innermost = innermost or frame
                within.append(frame.f_code.co_qualname)
            frame = frame.f_back  # type: ignore[assignment]
        if innermost is not None:
            code = innermost.f_code
            wait = Wait(what, code.co_filename, innermost.f_lineno, code.co_qualname, tuple(reversed(within[1:])))
            self.waits.append(wait)

    def compute(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Computes an operation of torch as a GPU would, as far as devices and waits go.

        Raises:
            RuntimeError: tensors or generators of two devices, as torch says it.
        """
        name = func._schema.name.removeprefix("aten::")
        tensors = list(_tensors((args, kwargs)))
        ours = [each for each in tensors if isinstance(each, GpuTensor)]
        wanted = kwargs.get("device")
        # Inside a function of torch that was given our tensors, `meta` is what it takes them for.
        elsewhere = wanted is not None and not _is_gpu(wanted, inside=bool(ours) or self._depth > 0)
        if not ours and (wanted is None or elsewhere):
            return func(*args, **kwargs)
        if name in ("_to_copy", "copy_"):
            self._note_copy(name, args, kwargs, elsewhere)
        elif name in INDEXING:
            self._check_index(name, args, tensors)
        else:
            _check_devices(name, tensors, bool(ours))
        if name in WAITS:
            self.note(name)
        if wanted is not None:
            kwargs = kwargs | {"device": wanted if elsewhere else "cpu"}
        made = func(*_numbers(args), **_numbers(kwargs))
        if elsewhere or (name == "copy_" and not isinstance(args[0], GpuTensor)):
            return made
        known = {id(each.numbers): each for each in ours}
        return _map(lambda each: known[id(each)] if id(each) in known else GpuTensor(each), made, Tensor)

    def _note_copy(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], elsewhere: bool) -> None:
        source = args[1] if name == "copy_" else args[0]
        goal_is_ours = isinstance(args[0], GpuTensor) if name == "copy_" else not elsewhere
        non_blocking = kwargs.get("non_blocking", args[2] if name == "copy_" and len(args) > 2 else False)
        if isinstance(source, GpuTensor) and not goal_is_ours:
            self.note("copy to the CPU")  # what is not pinned is waited for, non_blocking or not
        elif not isinstance(source, GpuTensor) and goal_is_ours and not non_blocking:
            self.note("copy to the GPU")

    def _check_index(self, name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
        indices = [each for each in args[1] if isinstance(each, Tensor)]
        if not isinstance(args[0], GpuTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if name != "index":
            _check_devices(name, [each for each in tensors if not any(each is index for index in indices)], True)
        for index in indices:
            if index.dtype in (torch.bool, torch.uint8):
                self.note("nonzero")
            elif not isinstance(index, GpuTensor):
                self.note("copy to the GPU")


class _Operations(TorchDispatchMode):
    """Sees what makes a tensor on the simulated GPU of nothing, or of one of the CPU."""

    def __init__(self, gpu: SimulatedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.gpu.compute(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Knows whether torch is inside a function that was given tensors of the simulated GPU."""

    def __init__(self, gpu: SimulatedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = any(isinstance(each, GpuTensor) for each in _tensors((args, kwargs)))
        generator, device = kwargs.get("generator"), kwargs.get("device")
        if generator is not None:
            check_generator(generator, given or (device is not None and _is_gpu(device, inside=False)))
        with self.gpu.inside() if given else nullcontext():
            return func(*args, **kwargs)


_TORCH = str(Path(torch.__file__).parent)


def _is_torch(file: str) -> bool:
    return file.startswith((_TORCH, __file__, contextlib.__file__, "<"))


def _is_gpu(device: torch.device | str, *, inside: bool) -> bool:
    kind = torch.device(device).type
    return kind == DEVICE.type or (kind == "meta" and inside)


def _check_devices(name: str, tensors: list[Tensor], any_ours: bool) -> None:
    """Refuses tensors of two devices; a single number of the CPU may stand beside tensors of a GPU."""
    together = name in ("cat", "stack")
    others = [each for each in tensors if not isinstance(each, GpuTensor) and (each.dim() > 0 or together)]
    if any_ours and others:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and "
            f"{others[0].device}! (aten::{name})"
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _numbers(value: Any) -> Any:
    return _map(lambda each: each.numbers, value, GpuTensor)


def _map(function: Callable[[Any], Any], value: Any, kind: type) -> Any:
    """Applies a function to all values of a kind in lists, tuples and dictionaries."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, list | tuple):
        return type(value)(_map(function, each, kind) for each in value)
    if isinstance(value, dict):
        return {name: _map(function, each, kind) for name, each in value.items()}
    return value
