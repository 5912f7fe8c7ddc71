"""Observations of a method by `lgbench check`: its answers, and the models that it initialized.

`probe.py` makes the observations, `checks.py` judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.conformance.copied_units import CopiedUnits
from learngene_bench.conformance.fixtures import TinyTarget
from learngene_bench.conformance.instrumentation import CallTrace
from learngene_bench.conformance.same_training import Follower
from learngene_bench.conformance.simulated_gpu import Wait
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest
from learngene_bench.plugins.registry import Registered


@dataclass
class Declared:
    """The declarations of a method about one target, before anything is computed.

    Attributes:
        reason: the answer of `supports`.
        stored: the count of `stored_shapes`.
        error: the question that failed and the traceback.
    """

    target: TinyTarget
    reason: object = None
    trains: tuple[str, ...] = ()
    request: GeneRequest | None = None
    stored: int = 0
    error: tuple[str, str] | None = None

    @property
    def family(self) -> str:
        """Name of the target's family."""
        return self.target.spec.family

    @property
    def supported(self) -> bool:
        """True if the target can be initialized, as far as the method says."""
        return self.reason is None and self.error is None


@dataclass
class Trial:
    """One target initialized, or the attempt.

    Attributes:
        before: weights of the model before the call, the base initialization, by name.
        after: weights after the call.
        faults: what is wrong with a parameter itself, by name.
        lost: names of parameters that are gone.
    """

    declared: Declared
    seed: int
    prepared: CallTrace | None = None
    initialized: CallTrace | None = None
    gene: Gene | None = None
    model: nn.Module | None = None
    before: Mapping[str, Tensor] = field(default_factory=dict)
    after: Mapping[str, Tensor] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    @property
    def calls(self) -> list[CallTrace]:
        """Calls that were made, in order."""
        return [call for call in (self.prepared, self.initialized) if call]

    @property
    def failed(self) -> CallTrace | None:
        """The call that raised, if one did."""
        return next((call for call in self.calls if call.error), None)

    @property
    def where(self) -> str:
        """Target and seed, as a problem names them."""
        return f"{self.declared.target}, seed {self.seed}"

    def agrees(self, other: Trial) -> bool:
        """True if another trial made the same gene and the same weights."""
        genes = [trial.gene.tensors if trial.gene else {} for trial in (self, other)]
        return not different(*genes) and not different(self.after, other.after)

    def written(self) -> set[str]:
        """Names of parameters that the call changed."""
        return {name for name, tensor in self.after.items() if not same(tensor, self.before[name])}


@dataclass(frozen=True)
class RecipeVariation:
    """A trial repeated with another value of one field of one recipe.

    Attributes:
        ignored: True if the method says that it ignores the field.
        differs: True if the gene or the target has other numbers.
        failed: the call that raised, if one did.
    """

    where: str
    recipe: str
    field: str
    ignored: bool
    differs: bool
    failed: CallTrace | None


@dataclass
class Observations:
    """All that was observed of a method.

    Attributes:
        declared: the targets of every family, those of the first one first.
        trials: every supported target of the first family, and a member of every other one, with seed 0.
        repeated: a trial and the same once more, gene included.
        other_seed: a trial and the same with another seed, gene included.
        reloaded: a trial, and the same with its gene saved and loaded, or the error and traceback of that.
        variations: trials with other recipes.
        followers: a target that inherits, with those of its tensors that follow starting numbers, or the error.
        copied: a trial of a target that is wider than its base, with the copies in it.
        rehearsed: a trial, the same on a simulated GPU, gene included, and the waits for that GPU.
    """

    registered: Registered
    options: Mapping[str, Any] = field(default_factory=dict)
    declared: list[Declared] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    repeated: list[tuple[Trial, Trial]] = field(default_factory=list)
    other_seed: tuple[Trial, Trial] | None = None
    reloaded: list[tuple[Trial, Trial | tuple[str, str]]] = field(default_factory=list)
    variations: list[RecipeVariation] = field(default_factory=list)
    followers: list[tuple[TinyTarget, list[Follower] | str]] = field(default_factory=list)
    copied: list[tuple[Trial, CopiedUnits]] = field(default_factory=list)
    rehearsed: list[tuple[Trial, Trial, list[Wait]]] = field(default_factory=list)

    def families(self) -> list[str]:
        """Names of the families that were asked about, the first one first."""
        return list(dict.fromkeys(declared.family for declared in self.declared))


def different(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names the tensors that are not in both, or not the same in both."""
    return [
        name for name in {**one, **other} if name not in one or name not in other or not same(one[name], other[name])
    ]


def same(one: Tensor, other: Tensor) -> bool:
    """True if two tensors agree to the bit, NaN with NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))
