"""Manifests: what a run intended, so that a report knows what is missing and needs no plugin to say so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learngene_bench.planning.plan import Cell, Plan, UnsupportedCell
from learngene_bench.runs.store import SCHEMA_VERSION, Runs
from learngene_bench.util import provenance
from learngene_bench.util.files import address_of, read_json, write_json
from learngene_bench.version import PROTOCOL


def cell_facts(cell: Cell, plan: Plan) -> dict[str, Any]:
    """What a cell is, in words that a report groups by."""
    return {
        "method": cell.row.name,
        "version": cell.row.version,
        "variant": cell.row.variant,
        "title": cell.row.title,
        "group": cell.row.group,
        "size": cell.size,
        "task": cell.task,
        "source": plan.source,
        "target": cell.target.as_dict(),
        "seed": cell.seed,
    }


def cell_parameters(cell: Cell) -> dict[str, int]:
    return {"stored": cell.stored_parameters, "model": cell.target.parameter_count()}


def about(cell: Cell, plan: Plan) -> dict[str, Any]:
    """What a cell's record says of it beside its numbers."""
    return {
        "cell": cell_facts(cell, plan),
        "preset": plan.preset.name,
        "setting": plan.setting,
        "setting_description": plan.setting_description,
        "parameters": cell_parameters(cell),
        "prepare_epochs": cell.prepare_epochs,
        "equal_budget": equal_budget(plan),
    }


def equal_budget(plan: Plan) -> dict[str, Any] | None:
    """How many iterations every method has in all and which setting has the ordinary budgets, if they are equal."""
    if plan.equal_budget_of is None:
        return None
    return {"iterations": plan.equal_budget_iterations, "of": plan.equal_budget_of}


def write_manifest(plan: Plan, runs: Runs, command: list[str]) -> Path:
    """Writes what this run intends; the same intention overwrites itself."""
    body = {
        "schema_version": SCHEMA_VERSION,
        "protocol": PROTOCOL,
        "preset": plan.preset.name,
        "grid": plan.grid.name,
        "axis": plan.grid.axis,
        "title": plan.grid.title,
        "setting": plan.setting,
        "setting_description": plan.setting_description,
        "equal_budget": equal_budget(plan),
        "cells": [
            {
                "address": cell.address,
                **cell_facts(cell, plan),
                "parameters": cell_parameters(cell),
                "prepare_epochs": cell.prepare_epochs,
            }
            for cell in plan.cells
        ],
        "dashes": [_dash(dash) for dash in plan.dashes],
        "methods": list(dict.fromkeys(row.name for row in plan.rows)),
        "stages": [
            {
                "address": stage.address,
                "kind": stage.kind,
                "label": stage.label,
                "inputs": dict(stage.inputs),
                "flops": stage.flops,
            }
            for stage in plan.stages.values()
        ],
    }
    manifest = {**body, "created": provenance.now(), "command": command, "folder": os.getcwd()}
    path = runs.root / "plans" / file_name(manifest)
    write_json(path, manifest)
    return path


def file_name(manifest: Mapping[str, Any]) -> str:
    """Of what is intended, whoever intends it, when and where."""
    intended = {key: value for key, value in manifest.items() if key not in ("created", "command", "folder")}
    return f"{address_of(intended)[:20]}.json"


def read_manifests(runs: Runs) -> list[dict[str, Any]]:
    """All manifests of a runs folder, oldest first."""
    manifests = [read_json(path, "manifest") for path in sorted((runs.root / "plans").glob("*.json"))]
    return sorted(manifests, key=lambda manifest: manifest["created"])


def _dash(dash: UnsupportedCell) -> dict[str, Any]:
    return {
        "method": dash.row.name,
        "variant": dash.row.variant,
        "title": dash.row.title,
        "group": dash.row.group,
        "size": dash.size,
        "task": dash.task,
        "target": dash.target.as_dict(),
        "reason": dash.reason,
    }
