"""`lgbench export CELL`: a cell's model as a file that timm loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.contracts.family import family_of, spec_from_dict
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.listing import find_one_finished
from learngene_bench.runs.store import Runs, StageFolder
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import file_hash, read_bytes, write_json, write_whole


def export(
    cell: common.CellArgument,
    output: Annotated[Path, common.path_option("-o", "--output", help="File to write; must end in .safetensors.")],
    runs: common.RunsOption = Path("runs"),
    initial: Annotated[
        bool, typer.Option("--initial", help="Export the initial model (computed again), not the fine-tuned one.")
    ] = False,
    plugin: common.PluginOption = None,
) -> None:
    """Write a cell's model as safetensors, and a JSON file that says how timm.create_model loads it."""
    if output.suffix != ".safetensors":
        raise UserError(f"{output}: timm knows the format by the name, which must end in .safetensors")
    description = output.with_suffix(".json")
    _check_free(description)
    folder = find_one_finished(open_runs(runs), common.query_of(cell))
    stage, record = folder.read_config(), folder.read_record(CellRecord)
    target = spec_from_dict(record.cell.target)
    kept = folder.model
    try:
        timm_call = family_of(target).timm_call(target)
    except UserError as error:
        raise UserError(f"{stage.label}: {error}; its weights are in {kept}") from error
    if initial:
        _write_initial(folder, Runs(runs), stage.label, Registry(plugin or []), record.initial_weights.sha256, output)
    else:
        _copy(kept, record.model.sha256, output)
    write_json(description, _description(stage, record, timm_call, output, initial))
    console = common.console()
    console.print(Text(f"{stage.label}, {'initial' if initial else 'finetuned'} weights: {output}"), soft_wrap=True)
    console.print(Text(f"how timm loads it: {description}"), soft_wrap=True)


def _check_free(description: Path) -> None:
    """Raises `UserError` if the file beside the weights, which nobody named, is something else than such a file."""
    if not description.exists() and not description.is_symlink():
        return
    try:
        found = json.loads(read_bytes(description))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= {"architecture", "kwargs", "python", "cell"}:
        raise UserError(f"{description}: would be replaced, and is not of an export: choose another name with --output")


def _copy(kept: Path, expected: str, output: Path) -> None:
    if not kept.is_file():
        raise DamagedFile(f"{kept} is missing; move its folder away and run again")
    if file_hash(kept) != expected:
        raise DamagedFile(f"{kept}: damaged (its hash differs); move its folder away and run again")
    write_whole(output, lambda temporary: shutil.copyfile(kept, temporary))


def _write_initial(folder: StageFolder, runs: Runs, label: str, registry: Registry, sha256: str, output: Path) -> None:
    from learngene_bench.analysis.models import recompute_initial_model
    from learngene_bench.runs.tensors import save_tensors

    model = recompute_initial_model(runs, folder.address, label, sha256, registry)
    save_tensors(model.state_dict(), output)


def _description(
    stage: StageFile, record: CellRecord, timm_call: tuple[str, dict[str, Any]], output: Path, initial: bool
) -> dict[str, Any]:
    """Describes the model for a user of the file."""
    architecture, kwargs = timm_call
    arguments = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
    return {
        "architecture": architecture,
        "kwargs": kwargs,
        "python": f'timm.create_model("{architecture}", checkpoint_path="{output.name}", {arguments})',
        "input": {"mean": record.model.mean, "std": record.model.std, "of": "pixels scaled to 0..1"},
        **_reproduction(record),
        "cell": {
            "label": stage.label,
            "address": stage.address,
            "weights": "initial" if initial else "finetuned",
            "metrics": record.initial_metrics if initial else record.metrics,
            "split": record.evaluation.split,
        },
        "versions": record.provenance.versions,
    }


def _reproduction(record: CellRecord) -> dict[str, Any]:
    """Returns the names of the outputs, and arguments of `timm.data.create_transform` for images as they were measured.

    Nothing of either for data that have no names of classes, or no images of other sizes.
    """
    model = record.model
    names = {"class_names": model.class_names} if model.class_names else {}
    if model.view is None:
        return names
    transform = {
        "input_size": [len(model.mean), model.view.side, model.view.side],
        "crop_pct": model.view.crop,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": model.mean,
        "std": model.std,
    }
    color = "RGB" if len(model.mean) == 3 else "L"
    python = f'timm.data.create_transform(**transform)(image.convert("{color}"))'
    return {**names, "transform": transform, "python_transform": python}
