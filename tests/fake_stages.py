"""Stages without configurations, for tests of executors that compute nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from learngene_bench.schema.constants import StageKind


@dataclass(frozen=True)
class FakeStage:
    """A stage by its label, as executors see it."""

    kind: StageKind
    label: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    flops: float = 0.0
    group: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return hashlib.sha256(self.label.encode()).hexdigest()
