"""`lgbench analyze`: what the weights of measured models look like."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from learngene_bench.analysis.cells import ANY_FAMILY, OF_ATTENTION, OF_PREDICTIONS, check_plain_attention, choose
from learngene_bench.cli import common
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.util.errors import UserError, unknown

if TYPE_CHECKING:
    from learngene_bench.analysis.cells import AnalyzedCell
    from learngene_bench.analysis.report import Analysis

KINDS = (*OF_ATTENTION, *ANY_FAMILY, *OF_PREDICTIONS)

IMAGES = {"attention-maps": 4, "segmentation": 4, "similarity": 256}


class Weights(StrEnum):
    INITIAL = "initial"
    FINETUNED = "finetuned"
    BOTH = "both"


class Split(StrEnum):
    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"


class Map(StrEnum):
    CAM = "cam"
    ROLLOUT = "rollout"
    RECEIVED = "received"


def analyze(
    kind: Annotated[
        str,
        typer.Argument(
            help="Any family of models: linear-structure (PCA of weights over layers), copies (units that repeat "
            "others), or similarity (of initial and trained weights). Plain Vision Transformers (family vit) only: "
            "attention-structure (diagonals of attention products), or attention-maps (where models look). Cells of "
            "semantic segmentation: segmentation (image, truth and prediction)."
        ),
    ],
    cells: common.CellsArgument = None,
    runs: common.RunsOption = Path("runs"),
    output: Annotated[Path, common.path_option("-o", "--output", help="Folder for PNG, PDF and CSV.")] = Path(
        "analysis"
    ),
    weights: Annotated[
        Weights | None,
        typer.Option(
            "--weights",
            help="Weights to show: as initialized (computed again), as fine-tuned, or both. Default: as initialized; "
            "for segmentation as fine-tuned.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="CELL",
            help="A cell to compare the trained weights of all others with (similarity only).",
        ),
    ] = None,
    map_: Annotated[
        Map, typer.Option("--map", help="Kind of map: class activation, attention rollout, or attention received.")
    ] = Map.CAM,
    split: Annotated[Split, typer.Option("--split", help="Split that images are taken from.")] = Split.TEST,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Number of images. Default: 4; 256 for similarity.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed that chooses the images.")] = 0,
    plugin: common.PluginOption = None,
) -> None:
    """Analyze the weights of measured models: a picture, and its numbers as CSV."""
    if kind not in KINDS:
        raise unknown("kind of analysis", kind, KINDS)
    if reference is not None and kind != "similarity":
        raise UserError(f"--reference is for similarity, not for {kind}")
    if weights is not None and kind == "similarity":
        raise UserError("--weights is not for similarity, which compares initial with fine-tuned weights")
    chosen = choose(open_runs(runs), cells or [])
    if kind in OF_ATTENTION:
        check_plain_attention(chosen, kind)
    registry = Registry(plugin or [])
    if kind == "similarity":
        made = _similarity(chosen, reference, split, images or IMAGES[kind], seed, registry)
    else:
        weights = weights or (Weights.FINETUNED if kind in OF_PREDICTIONS else Weights.INITIAL)
        states = ["initial", "finetuned"] if weights is Weights.BOTH else [str(weights)]
        made = _pictures(kind, chosen, states, map_, split, images, seed, registry)
    console = common.console()
    console.print(_table(made))
    for path in made.write(output):
        console.print(Text(str(path)), soft_wrap=True)


def _pictures(
    kind: str,
    chosen: list[AnalyzedCell],
    states: list[str],
    map_: str,
    split: str,
    images: int | None,
    seed: int,
    registry: Registry,
) -> Analysis:
    """The analyses of models, each by itself."""
    for cell in chosen:
        cell.check_files(states)

    from learngene_bench.analysis import attention_maps, attention_structure, copies, linear_structure, segmentation
    from learngene_bench.analysis.models import evaluated_images, model_of, network_of, samples
    from learngene_bench.results.plots import style

    if kind == "segmentation":
        seen = evaluated_images(chosen, split, images or IMAGES[kind], seed)
        segmentation.check_kind(seen.facts)
        networks = [(cell, state, network_of(cell, state, registry, seen.facts)) for cell in chosen for state in states]
        with style.drawing():
            return segmentation.analyse(networks, seen)
    shown = samples(chosen, split, images or IMAGES[kind], seed) if kind in IMAGES else None
    models = [(cell, state, model_of(cell, state, registry)) for cell in chosen for state in states]
    with style.drawing():
        if shown is None:
            of_weights = {
                "attention-structure": attention_structure,
                "linear-structure": linear_structure,
                "copies": copies,
            }
            return of_weights[kind].analyse(models)
        return attention_maps.analyse(models, shown, map_)


def _similarity(
    chosen: list[AnalyzedCell], reference: str | None, split: str, images: int, seed: int, registry: Registry
) -> Analysis:
    against = choose(chosen[0].runs, [reference], most=1)[0] if reference else None
    for cell in chosen:
        cell.check_files(["initial", "finetuned"])
    if against:
        against.check_files(["finetuned"])

    from learngene_bench.analysis import similarity
    from learngene_bench.analysis.models import samples
    from learngene_bench.results.plots import style

    shown = samples([*chosen, *([against] if against else [])], split, images, seed)
    with style.drawing():
        return similarity.analyse(chosen, against, shown, registry)


def _table(made: Analysis) -> Table:
    header, *lines = made.summary
    table = Table(box=None, header_style="dim", pad_edge=False)
    for number, title in enumerate(header):
        table.add_column(title, justify="left" if number < 2 else "right", overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    return table
