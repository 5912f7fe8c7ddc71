"""The functions of torch that ask for a GPU, replaced for the simulated one: generators, questions about devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

DEVICE = torch.device("cuda", 0)
"""The name of the simulated device: what the suite does for a GPU only is done for it too."""


class _GeneratorKind(type(torch.Generator)):  # type: ignore[misc]
    """Lets what was made by torch itself be an instance of `_Generator` too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _CpuGenerator)


_CpuGenerator = torch.Generator


class _Generator(_CpuGenerator, metaclass=_GeneratorKind):
    """Stands for `torch.Generator`: makes those of the simulated GPU too."""

    def __new__(cls, device: torch.device | str = "cpu") -> Any:
        if torch.device(device).type != DEVICE.type:
            return _CpuGenerator(device)
        return super().__new__(GpuGenerator)

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """The device was looked at when it was made."""


class GpuGenerator(_CpuGenerator):
    """A generator of the simulated GPU; it draws what one of the CPU draws."""

    def __new__(cls, device: Any = None) -> Any:
        return super().__new__(cls)

    def __init__(self, device: Any = None) -> None:
        """The device was looked at when it was made."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE


def check_generator(generator: torch.Generator, on_gpu: bool) -> None:
    """Raises `RuntimeError`, as torch does, if a generator is not of the device that is drawn on."""
    if isinstance(generator, GpuGenerator) != on_gpu:
        wanted = DEVICE.type if on_gpu else "cpu"
        raise RuntimeError(f"Expected a '{wanted}' device type for generator but found '{generator.device.type}'")


@contextmanager
def torch_replaced() -> Iterator[None]:
    """Replaces the functions of torch that would look for a GPU; there may be one, and it is not used."""
    replaced: dict[tuple[Any, str], Callable[..., Any]] = {
        (torch, "Generator"): _Generator,
        (torch.accelerator, "current_accelerator"): lambda check_available=False: None,
        (torch.cuda, "_lazy_init"): lambda: None,
        (torch.cuda, "current_device"): lambda: DEVICE.index,
        (torch.cuda, "device_count"): lambda: 1,
        (torch.cuda, "get_device_name"): lambda device=None: "a simulated GPU",
        (torch.cuda, "get_rng_state"): lambda device=None: torch.get_rng_state(),
        (torch.cuda, "is_available"): lambda: True,
        (torch.cuda, "is_bf16_supported"): lambda including_emulation=True: True,
        (torch.cuda, "is_current_stream_capturing"): lambda: False,
        (torch.cuda, "set_rng_state"): lambda state, device=None: torch.set_rng_state(state),
        (torch.cuda, "synchronize"): lambda device=None: None,
    }
    originals = {(module, name): getattr(module, name) for module, name in replaced}
    lifted, swapped = torch._C._only_lift_cpu_tensors(), torch.__future__.get_swap_module_params_on_conversion()
    try:
        for (module, name), function in replaced.items():
            setattr(module, name, function)
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(..., device=...)` copies a tensor of the CPU
        torch.__future__.set_swap_module_params_on_conversion(True)  # `module.to(...)` keeps its parameters
        yield
    finally:
        for (module, name), function in originals.items():
            setattr(module, name, function)
        torch._C._set_only_lift_cpu_tensors(lifted)
        torch.__future__.set_swap_module_params_on_conversion(swapped)
