"""The card of a gene: what it is, how it was made, what it cost, how to use it; from its record."""

from __future__ import annotations

from collections.abc import Mapping

from learngene_bench.schema.cost import Cost
from learngene_bench.schema.record import GeneRecord
from learngene_bench.schema.stage import GeneConfig, StageFile
from learngene_bench.util.durations import duration


def gene_card(file: StageFile, record: GeneRecord, license: str, source: str) -> str:
    """Returns the card as Markdown, with the front matter that the hub reads.

    Args:
        license: licence by the hub's name, such as `apache-2.0`.
        source: what names the gene for `initialize`: `hf://USER/NAME`, or the name of one of the package.
    """
    config = file.config
    assert isinstance(config, GeneConfig)
    method = config.method.name
    return f"""---
license: {license}
library_name: learngene-bench
tags: [learngene-bench, learngene, weight-initialization, {method}]
---

# {file.label[:1].upper()}{file.label[1:]}

A *gene*: what the method `{method}` keeps of trained models, to initialize models of other sizes. Made by
learngene-bench, which measures such methods.

## Use

```python
import learngene_bench

learngene_bench.initialize(model, "{method}", gene="{source}")
```

`model` is a model of the family `{config.spec["family"]}`. `lgbench info {method}` has the options. A method that
trains while it initializes needs images, `data=`.

## Made of

| | |
|---|---|
{_rows(_facts(file, config, record))}
{_curves(record)}
## Cost

| | epochs | images | FLOPs | time |
|---|---|---|---|---|
{_cost("ancestors", record.cost.ancestors)}
{_cost("preparation", record.cost.prepare)}

## Versions and machine

| | |
|---|---|
{_rows({**record.provenance.versions, **record.provenance.hardware})}

Command: `{" ".join(record.provenance.command)}`

Licence of the gene: {license}. The licence of the data is that of their authors.
"""


def _facts(file: StageFile, config: GeneConfig, record: GeneRecord) -> dict[str, object]:
    data = {name: value for name, value in config.data.items() if name not in ("name", "fingerprint")}
    trained = {
        f"recipe `{name}`": ", ".join(
            f"{key} {value}" for key, value in recipe.model_dump(mode="json", exclude_defaults=True).items()
        )
        for name, recipe in config.recipes.items()
    }
    return {
        "method": f"{config.method.name}, version {config.method.version}",
        "prepared as": ", ".join(f"{name} {value}" for name, value in config.spec.items()),
        "settings": ", ".join(f"{name} {value}" for name, value in config.settings.items()) or "none",
        "ancestors": ", ".join(f"{role} {address[:20]}" for role, address in file.inputs.items()) or "none",
        "data": config.data["name"],
        "data set": config.data["fingerprint"],
        "options of the data": ", ".join(f"{name} {value}" for name, value in data.items()) or "none",
        **trained,
        "seed": config.seed,
        "protocol": config.protocol,
        "address": f"`{file.address}`",
        "SHA-256": f"`{record.tensors.sha256}`",
        "size": f"{record.tensors.bytes:,} bytes",
    }


def _rows(facts: Mapping[str, object]) -> str:
    lines = (f"| {name} | {str(value).replace('|', '/')} |" for name, value in facts.items() if value is not None)
    return "\n".join(lines)


def _curves(record: GeneRecord) -> str:
    """Returns the last measurement of each training, on validation images."""
    lines = []
    for name, points in record.curve.items():
        if points and points[-1].metrics:
            found = ", ".join(f"{metric} {value:.4g}" for metric, value in points[-1].metrics.items())
            lines.append(f"After `{name}`, on validation images: {found}.\n")
    return "\n" + "\n".join(lines) if lines else ""


def _cost(name: str, cost: Cost) -> str:
    return f"| {name} | {cost.epochs:g} | {cost.images:,} | {cost.flops:.3g} | {duration(cost.seconds)} |"
