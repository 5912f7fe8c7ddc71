"""What `--method` chooses: methods by name, with options that set a variant apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learngene_bench.config.loader import parse_override
from learngene_bench.plugins.registry import Registered, Registry
from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class Choice:
    """A method as chosen on the command line: `wave` or `wave:learn_scalers=false`."""

    registered: Registered
    options: Mapping[str, Any]


def parse_methods(text: str, registry: Registry, options: Mapping[str, Mapping[str, Any]]) -> list[Choice]:
    """Reads `--method`: names separated by commas, `all`, or `NAME:OPTION=VALUE[:OPTION=VALUE]` for a variant.

    Args:
        options: by method name, what `--set NAME.OPTION=VALUE` said; a variant's own options come on top.

    Raises:
        UserError: an unknown name or option.
    """
    choices = []
    # Not at the commas of a list, as in wave:parts=["attention", "mlp"].
    for item in [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]:
        name, *settings = item.split(":")
        names = registry.names() if name == "all" else [name]
        own = dict(parse_override(setting) for setting in settings)
        chosen = [Choice(registry.get(n), {**options.get(n, {}), **own}) for n in names]
        choices += [choice for choice in chosen if choice not in choices]
    if not choices:
        raise UserError(f"--method is empty (valid: all, {', '.join(registry.names())})")
    return choices
