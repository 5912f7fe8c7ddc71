"""The models of cells, as initialized and as fine-tuned, and images for them to look at."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.execution.stage_data import planned_data, task_data
from learngene_bench.execution.stages import initial_model
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.runs.tensors import describe
from learngene_bench.schema.stage import CellConfig
from learngene_bench.training.inputs import normalization
from learngene_bench.util.errors import DamagedFile, MethodFailure, UserError
from learngene_bench.util.files import file_hash


def model_of(cell: AnalyzedCell, weights: str, registry: Registry) -> nn.Module:
    """A cell's model on the CPU, for evaluation.

    Args:
        weights: "initial", which is computed again, or "finetuned", which is read.

    Raises:
        UserError: its files or its method are not those of the record any more.
    """
    if weights == "finetuned":
        return _finetuned(cell).eval()
    sha256 = cell.record.initial_weights.sha256
    return recompute_initial_model(cell.runs, cell.address, cell.full_label, sha256, registry).eval()


def _finetuned(cell: AnalyzedCell) -> nn.Module:
    path = cell.runs.folder("cell", cell.address).model
    if file_hash(path) != cell.record.model.sha256:
        raise DamagedFile(f"{path}: damaged (its hash differs); delete its folder and run again")
    model = build_model(cell.target)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise DamagedFile(f"{path}: not the weights of {cell.target}; delete its folder and run again") from error
    return model


def recompute_initial_model(runs: Runs, address: str, label: str, sha256: str, registry: Registry) -> nn.Module:
    """Initializes a cell's target again; a line on standard error says if the weights differ from the recorded ones.

    Args:
        sha256: hash of the recorded weights.

    Raises:
        UserError: the method fails this time, or it or its files are not those of the run any more.
    """
    try:
        model = initial_model(runs, address, registry)
    except MethodFailure as error:
        raise UserError(f"{label}: the method fails this time: {error}") from error
    if describe(dict(model.named_parameters()))["sha256"] != sha256:
        print(f"lgbench: {label}: on this machine the initial weights differ from the recorded ones", file=sys.stderr)
    return model


def as_vit(cell: AnalyzedCell, model: nn.Module) -> tuple[VisionTransformer, ViTSpec]:
    """The model and its spec, for analyses that look at attention; see `cells.check_plain_attention`."""
    assert isinstance(cell.target, ViTSpec)
    assert isinstance(model, VisionTransformer)
    return model, cell.target


@dataclass(frozen=True)
class Samples:
    """Some images of one split.

    Attributes:
        images: uint8 (n, C, H, W).
        inputs: the same, normalised as models see them.
        labels: (n, ...), of the type and shape of the task kind.
        indices: which of the split they are.
        facts: those of the data set.
    """

    split: str
    images: NDArray[np.uint8]
    inputs: Tensor
    labels: Tensor
    indices: tuple[int, ...]
    facts: DatasetFacts


def samples(cells: Sequence[AnalyzedCell], split: str, count: int, seed: int) -> Samples:
    """The same images for all: of as many classes as there are, drawn by the seed.

    Args:
        split: "test", "validation" or "train".

    Raises:
        UserError: the cells were measured on different images, or these changed.
    """
    planned, settings = _measured_on(cells[0])
    for cell in cells[1:]:
        if _measured_on(cell)[0] != planned:
            raise UserError(
                f"{cells[0].full_label} and {cell.full_label} were measured on different images; choose cells of "
                "one task"
            )
    facts, splits = planned_data(planned, settings)
    chosen = {"test": splits.test, "validation": splits.validation, "train": splits.train}[split]
    if not len(chosen):
        raise UserError(f"{cells[0].full_label}: its data have no {split} images")
    indices = _drawn(chosen.labels, count, seed)
    images = chosen.take(indices)
    inputs = normalization(splits)(torch.from_numpy(images).float().div_(255))
    return Samples(split, images, inputs, torch.from_numpy(chosen.labels[indices]), tuple(map(int, indices)), facts)


def _measured_on(cell: AnalyzedCell) -> tuple[dict[str, Any], dict[str, Any]]:
    assert isinstance(cell.stage.config, CellConfig)
    return task_data(cell.stage.config, cell.stage.execution)


def _drawn(labels: NDArray[Any], count: int, seed: int) -> NDArray[np.int64]:
    """Draws images at random; where an image has one class, one of each class before a second of any, and so on."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if labels.ndim > 1:
        return order[:count]
    seen: Counter[int] = Counter()
    turns = []
    for label in labels[order].tolist():
        turns.append(seen[label])
        seen[label] += 1
    return order[np.argsort(turns, kind="stable")][:count]
