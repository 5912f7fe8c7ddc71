"""Chooses some of the results of runs folders: by method, preset and setting."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from learngene_bench.results.records.loading import load
from learngene_bench.results.records.types import Record, Results
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.subject import Setting
from learngene_bench.util.errors import UserError, unknown


def choose(
    results: Results,
    methods: Collection[str] = (),
    presets: Collection[str] = (),
    settings: Sequence[str] = (),
) -> Results:
    """Keeps the results of some methods, presets and settings; of all, where nothing is named.

    Args:
        methods: names of methods, with all their variants.
        presets: names of presets.
        settings: each a description as tables print it, what it contains (`finetuning.epochs=7`), or the beginning of
            its hash. The same setting at equal budget comes with it.

    Raises:
        UserError: there are no results of a method, preset or setting of this name.
    """
    every: list[Setting] = [*results.manifests, *(record.result for record in results.records.values())]
    of_methods = {cell.method for manifest in results.manifests for cell in (*manifest.cells, *manifest.unsupported)}
    of_methods |= {record.cell.method for record in results.records.values()}
    for kind, names, known in (("method", methods, of_methods), ("preset", presets, {one.preset for one in every})):
        for name in names:
            if name not in known:
                raise unknown(f"{kind} of these results", name, known)
    hashes = {found for text in settings for found in _settings(text, every)}

    def wanted(one: Setting) -> bool:
        known = {one.setting, one.equal_budget.of if one.equal_budget else one.setting}
        return (not presets or one.preset in presets) and (not settings or bool(known & hashes))

    def unplanned(name: str, record: Record) -> bool:
        return name not in results.planned and wanted(record.result) and (not methods or record.cell.method in methods)

    manifests = [_of_methods(manifest, methods) for manifest in results.manifests if wanted(manifest)]
    chosen = results.of_manifests(manifests)  # and so by plans: settings share records
    others = {name: record for name, record in results.records.items() if unplanned(name, record)}
    return replace(chosen, records={**chosen.records, **others})


def load_chosen(
    folders: Sequence[Path],
    methods: Sequence[str] | None,
    presets: Sequence[str] | None,
    settings: Sequence[str] | None,
) -> Results:
    """Reads runs folders and leaderboards, and keeps what the command line asks for.

    Args:
        methods: each a name, or several separated by commas.

    Raises:
        UserError: see `load` and `choose`.
    """
    names = [name.strip() for text in methods or () for name in text.split(",") if name.strip()]
    return choose(load(folders), names, presets or (), settings or ())


def _settings(text: str, every: Sequence[Setting]) -> set[str]:
    """Returns the hashes of the settings that a text names."""
    described = {one.setting: one.setting_description for one in every}
    if exact := {setting for setting, words in described.items() if words == text}:
        return exact
    if re.fullmatch("[0-9a-f]{4,64}", text) and (found := {one for one in described if one.startswith(text)}):
        return found
    if found := {setting for setting, words in described.items() if text in words}:
        return found
    listed = "; ".join(sorted({f"{words} ({setting[:8]})" for setting, words in described.items()}))
    raise UserError(f"no setting of these results has the words or the hash {text!r} (there are: {listed})")


def _of_methods(manifest: Manifest, methods: Collection[str]) -> Manifest:
    """Leaves out of a plan what it asks for of other methods."""
    if not methods:
        return manifest
    kept = {
        name: tuple(one for one in getattr(manifest, name) if one.method in methods)
        for name in ("cells", "unsupported")
    }
    names = tuple(name for name in manifest.methods if name in methods)
    return manifest.model_copy(update={**kept, "methods": names})
