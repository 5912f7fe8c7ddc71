"""The models of cells, as initialized and as fine-tuned, and images for them to look at."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.contracts.dataset import DatasetFacts, Split, Splits
from learngene_bench.execution.cell_stage import adapted, added_tensors
from learngene_bench.execution.stage_data import planned_data, task_data
from learngene_bench.execution.stages import initial_model
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.runs.tensors import describe
from learngene_bench.schema.stage import CellConfig
from learngene_bench.training.inputs import normalization, plain_images
from learngene_bench.util.errors import DamagedFile, MethodFailure, UserError
from learngene_bench.util.files import file_hash
from learngene_bench.util.terminal import terminal_text


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


def network_of(cell: AnalyzedCell, weights: str, registry: Registry, facts: DatasetFacts) -> nn.Module:
    """A cell's model with what its task kind adds to it, such as a decoder, on the CPU, for evaluation.

    Args:
        weights: see `model_of`.
        facts: those of the cell's data set.

    Raises:
        UserError: see `model_of`; or the cell is of a version that kept no decoders.
    """
    assert isinstance(cell.stage.config, CellConfig)
    model = model_of(cell, weights, registry)
    network = adapted(model, cell.stage.config, facts)
    added = added_tensors(network, model)
    if added and weights == "finetuned":
        if cell.record.model.decoder is None:
            raise UserError(
                f"{cell.full_label}: its decoder was not kept by the version that computed it; run it again"
            )
        path = cell.runs.folder("cell", cell.address).decoder
        kept = _load(path, cell.record.model.decoder)
        if {name: tensor.shape for name, tensor in kept.items()} != {name: t.shape for name, t in added.items()}:
            raise DamagedFile(f"{path}: not the decoder of {cell.full_label}; move its folder away and run again")
        network.load_state_dict(kept, strict=False)
    return network.eval()


def _finetuned(cell: AnalyzedCell) -> nn.Module:
    path = cell.runs.folder("cell", cell.address).model
    model = build_model(cell.target)
    try:
        model.load_state_dict(_load(path, cell.record.model.sha256))
    except RuntimeError as error:
        raise DamagedFile(f"{path}: not the weights of {cell.target}; move its folder away and run again") from error
    return model


def _load(path: Path, sha256: str) -> dict[str, Tensor]:
    if file_hash(path) != sha256:
        raise DamagedFile(f"{path}: damaged (its hash differs); move its folder away and run again")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DamagedFile(f"{path}: damaged; move its folder away and run again") from error


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
        text = f"lgbench: {label}: on this machine the initial weights differ from the recorded ones"
        print(terminal_text(text), file=sys.stderr)
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
    facts, splits, chosen, indices = _drawn_images(cells, split, count, seed)
    images = chosen.take(indices)
    inputs = normalization(splits)(torch.from_numpy(images).float().div_(255))
    return Samples(split, images, inputs, torch.from_numpy(chosen.labels[indices]), tuple(map(int, indices)), facts)


@dataclass(frozen=True)
class EvaluatedImages:
    """Some images of one split exactly as evaluation sees them, each of its own size.

    Attributes:
        inputs: each (C, H, W), normalised.
        images: the same, uint8.
        labels: of the type of the task kind; a map of labels may be of another size than its image.
        indices: which of the split they are.
        facts: those of the data set.
    """

    split: str
    inputs: tuple[Tensor, ...]
    images: tuple[NDArray[np.uint8], ...]
    labels: tuple[Tensor, ...]
    indices: tuple[int, ...]
    facts: DatasetFacts


def evaluated_images(cells: Sequence[AnalyzedCell], split: str, count: int, seed: int) -> EvaluatedImages:
    """The same images for all, drawn by the seed; arguments and errors are those of `samples`."""
    facts, splits, chosen, drawn = _drawn_images(cells, split, count, seed)
    indices = tuple(map(int, drawn))
    data = plain_images(chosen, splits, torch.device("cpu"))
    pairs = [next(data.eval_batches(1, index, index + 1)) for index in indices]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (splits.mean, splits.std))
    inputs = tuple(batch[0] for batch, _ in pairs)
    images = tuple((255 * (each * std + mean)).round().clamp(0, 255).byte().numpy() for each in inputs)
    return EvaluatedImages(split, inputs, images, tuple(labels[0] for _, labels in pairs), indices, facts)


def _drawn_images(
    cells: Sequence[AnalyzedCell], split: str, count: int, seed: int
) -> tuple[DatasetFacts, Splits, Split, NDArray[np.int64]]:
    """Returns the data that all cells were measured on, the split of this name, and places in it."""
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
    return facts, splits, chosen, _drawn(chosen.labels, count, seed)


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
