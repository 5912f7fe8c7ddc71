"""Reads the claims of papers that tables put beside what was measured (`published/claims.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables import published


@dataclass(frozen=True)
class SavingsClaim:
    """A paper's claim of what a method saves over pre-training every target.

    Attributes:
        method: name of the method.
        reference: name of the paper's pre-training.
        note: the claim in words.
        targets, computation, storage, difference: the claim as it stands in the table.
        finetuning_epochs: epochs for which the paper fine-tunes each target, unless it is pre-trained itself.
    """

    method: str
    reference: str
    note: str
    targets: str
    computation: str
    storage: str
    difference: str
    finetuning_epochs: int


@dataclass(frozen=True)
class SpeedUpClaim:
    """A paper's claim of how much faster a method is than pre-training, for tables along one axis."""

    axis: str
    note: str


@dataclass(frozen=True)
class PublishedSavings:
    """Savings of one model according to the paper's own table of depths.

    Attributes:
        model: name of the model.
        targets: number of depths.
        epochs: how many times as many epochs pre-training takes for all of them.
        stored: how many times as many parameters pre-training stores for one target.
        difference: mean of the method minus that of pre-training.
    """

    model: str
    targets: int
    epochs: float
    stored: float
    difference: float


def savings_claim() -> SavingsClaim:
    """Returns the claim that cost tables print."""
    return SavingsClaim(**_claims()["savings"])


def speed_up_claim() -> SpeedUpClaim:
    """Returns the claim that speed-up tables print."""
    return SpeedUpClaim(**_claims()["speed_up"])


def published_savings(claim: SavingsClaim) -> list[PublishedSavings]:
    """Computes the savings from the paper's own table of depths, for each of its models."""
    return [_of_model(claim, size, title) for size, title in published.SIZE_TITLES.items()]


def _of_model(claim: SavingsClaim, size: str, title: str) -> PublishedSavings:
    rows = [row for row in published.table("depth") if row["size"] == size]

    def column(method: str, name: str) -> list[float]:
        return [float(row[name] or 0) for row in rows if row["method"] == method]

    n = len(column(claim.method, published.METRIC))
    prepare, prepare_reference = (column(name, "prepare_epochs")[0] for name in (claim.method, claim.reference))
    return PublishedSavings(
        model=title,
        targets=n,
        epochs=n * prepare_reference / (prepare + n * claim.finetuning_epochs),
        stored=column(claim.reference, "params_m")[0] / column(claim.method, "params_m")[0],
        difference=mean(column(claim.method, published.METRIC)) - mean(column(claim.reference, published.METRIC)),
    )


@cache
def _claims() -> dict[str, dict[str, Any]]:
    path = Path(__file__).parents[1] / "published" / "claims.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
