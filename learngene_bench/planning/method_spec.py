"""Reads `--method`: methods by name, with the options of a variant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learngene_bench.config.loader import parse_override
from learngene_bench.plugins.registry import Registered, Registry
from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class MethodSpec:
    """A method as chosen on the command line: `wave` or `wave:learn_scalers=false`."""

    registered: Registered
    options: Mapping[str, Any]


def parse_methods(text: str, registry: Registry, options: Mapping[str, Mapping[str, Any]]) -> list[MethodSpec]:
    """Reads `--method`: names separated by commas, `all`, or `NAME:OPTION=VALUE[:OPTION=VALUE]` for a variant.

    Args:
        options: by method name, what `--set NAME.OPTION=VALUE` said; a variant's own options come on top.

    Raises:
        UserError: an unknown name or option.
    """
    specs: list[MethodSpec] = []
    # Not at the commas of a list, as in wave:parts=["attention", "mlp"].
    for item in [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]:
        name, *settings = item.split(":")
        names = registry.names() if name == "all" else [name]
        variant = dict(
            parse_override(setting, f"--method {name}:", "--method NAME:OPTION=VALUE") for setting in settings
        )
        chosen = [MethodSpec(registry.get(n), {**options.get(n, {}), **variant}) for n in names]
        specs += [spec for spec in chosen if spec not in specs]
    if not specs:
        raise UserError(f"--method is empty (valid: all, {', '.join(registry.names())})")
    return specs
