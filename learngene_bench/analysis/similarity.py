"""Measures how much of an initialization is left in the trained weights, and in what they compute.

Weights are compared as they are, tensor by tensor: their cosine similarity, and the distance |a - b| / |b| from the
trained ones, b. What layers compute, the embedding and every block of every stage, is compared by centered kernel
alignment (linear CKA; Kornblith et al., 2019), which does not depend on the order or rotation of channels: 1 for the
same up to rotation and scale, 0 on average for what is independent, by the unbiased estimate of HSIC (Song et al.,
2012).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from learngene_bench.analysis.blocks import blocks_of, layers_of, matrices
from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.models import Samples, model_of
from learngene_bench.analysis.report import Analysis, rounded
from learngene_bench.analysis.tiles import LETTER_WIDTH
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.plots.page import Page
from learngene_bench.results.plots.style import SMALL_SIZE
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_IMAGES = 4
"""Smallest number of images for the unbiased estimate."""


@dataclass(frozen=True)
class Likeness:
    """Similarity of two tensors a and b of the same shape.

    Attributes:
        cosine: cosine similarity; None if one of them is zero.
        distance: |a - b| / |b|; None if b is zero.
    """

    cosine: float | None
    distance: float | None


def likeness(first: Tensor, trained: Tensor) -> Likeness:
    """Compares an initial tensor with a trained one, in double precision."""
    a, b = first.detach().double().flatten(), trained.detach().double().flatten()
    norms = float(a.norm()), float(b.norm())
    return Likeness(
        cosine=float(a @ b) / (norms[0] * norms[1]) if all(norms) else None,
        distance=float((a - b).norm()) / norms[1] if norms[1] else None,
    )


def cka(first: Tensor, second: Tensor) -> float | None:
    """Computes the linear CKA of features (n, p) and (n, q) of the same n images; None if one of them is constant."""
    grams = [features.double() @ features.double().T for features in (first, second)]
    return _cka(*grams)


def _cka(first: Tensor, second: Tensor) -> float | None:
    own = [float(_hsic(gram, gram)) for gram in (first, second)]
    return float(_hsic(first, second)) / (own[0] * own[1]) ** 0.5 if min(own) > 0 else None


def _hsic(first: Tensor, second: Tensor) -> Tensor:
    """Computes the unbiased estimate from two Gram matrices (n, n), n at least 4 (Song et al., 2012, Eq. 5)."""
    count = len(first)
    k, l = (gram - gram.diagonal().diag() for gram in (first, second))  # noqa: E741
    products = (k * l).sum()
    sums = k.sum() * l.sum() / ((count - 1) * (count - 2))
    rows = (k.sum(0) * l.sum(0)).sum() * 2 / (count - 2)
    return (products + sums - rows) / (count * (count - 3))


def grams_of(model: nn.Module, spec: ModelSpec, images: Tensor, batch: int = 64) -> list[Tensor]:
    """Computes Gram matrices (n, n) of the embedding and of each block's output, over all positions of an image.

    Features are centred over the images first; otherwise their common part would use up the floating-point digits.
    """
    blocks = blocks_of(model, spec)
    features: list[list[Tensor]] = [[] for _ in range(len(blocks) + 1)]

    def keep(number: int) -> Any:
        return lambda _, __, output: features[number].append(output.flatten(1))

    hooks = [blocks[0].register_forward_pre_hook(lambda _, inputs: features[0].append(inputs[0].flatten(1)))]
    hooks += [block.register_forward_hook(keep(number)) for number, block in enumerate(blocks, start=1)]
    try:
        with torch.no_grad():
            for some in images.split(batch):
                model(some)
    finally:
        for hook in hooks:
            hook.remove()
    grams = []
    for parts in features:
        values = torch.cat(parts).double()
        values -= values.mean(0)
        grams.append(values @ values.T)
        parts.clear()
    return grams


@dataclass(frozen=True)
class Comparison:
    """A cell as initialized beside trained weights.

    Attributes:
        against: the cell with the trained weights; None for the cell itself.
        tensors: similarity of each parameter.
        components: similarity of each component of a block, over all layers of its stage; "matrices" are the matrices
            of all blocks together, "all" is the whole model.
        cka: CKA of each layer as initialized with each trained one, the embedding first: (L + 1, L + 1).
    """

    cell: AnalyzedCell
    against: AnalyzedCell | None
    tensors: Mapping[str, Likeness]
    components: Mapping[str, Likeness]
    cka: Sequence[Sequence[float | None]]

    @property
    def title(self) -> str:
        return f"{self.cell.label} to {f'trained {self.against.label}' if self.against else 'its fine-tuned self'}"


def compare(
    cell: AnalyzedCell, initial: nn.Module, against: AnalyzedCell | None, trained: nn.Module, images: Tensor
) -> Comparison:
    """Compares two models of the same shapes."""
    first, second = (dict(model.named_parameters()) for model in (initial, trained))
    stacks, others = (layers_of(model, cell.target) for model in (initial, trained))
    components = {}
    for component in stacks:
        a, b = (torch.cat([layer.flatten() for layer in each[component]]) for each in (stacks, others))
        components[component] = likeness(a, b)
    large = {name for line in _matrix_names(cell.target).values() for name in line if name}
    block_matrices = [torch.cat([p[name].flatten() for name in first if name in large]) for p in (first, second)]
    whole = [torch.cat([parameter.flatten() for parameter in p.values()]) for p in (first, second)]
    grams, trained_grams = (grams_of(model, cell.target, images) for model in (initial, trained))
    return Comparison(
        cell,
        against,
        {name: likeness(first[name], second[name]) for name in first},
        {**components, "matrices": likeness(*block_matrices), "all": likeness(*whole)},
        [[_cka(gram, other) for other in trained_grams] for gram in grams],
    )


def _matrix_names(spec: ModelSpec) -> dict[str, list[str | None]]:
    """Lists the parameter that each matrix is in every block; None in blocks that have none such."""
    names: dict[str, list[str | None]] = {}
    components = spec.components()
    for short, of_stages in matrices(spec).items():
        names[short] = []
        for number, stage in enumerate(spec.stages()):
            name = components[of_stages[number]][1] if number in of_stages else None
            names[short] += [stage.parameter(layer, name) if name else None for layer in range(stage.depth)]
    return names


def analyse(
    cells: Sequence[AnalyzedCell], reference: AnalyzedCell | None, shown: Samples, registry: Registry
) -> Analysis:
    """Compares every cell as initialized with itself as fine-tuned, and with the reference as fine-tuned.

    Raises:
        UserError: the reference has weights of other shapes, or there are too few images.
    """
    if len(shown.labels) < _LEAST_IMAGES:
        raise UserError(f"similarity needs at least {_LEAST_IMAGES} images (--images), not {len(shown.labels)}")
    for cell in cells:
        if reference and reference.target != cell.target:
            raise UserError(
                f"{cell.full_label} ({_shape(cell.target)}) cannot be compared with {reference.full_label} "
                f"({_shape(reference.target)}): their weights have other shapes"
            )
    final = model_of(reference, "finetuned", registry) if reference else None
    found = []
    for cell in cells:
        initial, finetuned = (model_of(cell, weights, registry) for weights in ("initial", "finetuned"))
        found.append(compare(cell, initial, None, finetuned, shown.inputs))
        if reference and final is not None and reference.address != cell.address:
            found.append(compare(cell, initial, reference, final, shown.inputs))
    rows = [row for comparison in found for row in _rows(comparison, shown)]
    header = ("initial weights", "to trained ones of", "cosine", "distance", "CKA, first", "CKA, last block")
    drawn = page(found, shown.split, len(shown.labels))
    return Analysis("similarity", drawn, tuple(rows), (header, *map(_summary, found)))


def _shape(spec: ModelSpec) -> str:
    return f"{spec.sizes()}, {spec.classes} classes"


def _rows(comparison: Comparison, shown: Samples) -> Iterator[dict[str, Any]]:
    against = comparison.against or comparison.cell
    about = {
        "cell": comparison.cell.full_label,
        "address": comparison.cell.address,
        "trained": against.full_label,
        "trained_address": against.address,
    }
    nothing = {"layer": None, "trained_layer": None, "cosine": None, "distance": None, "cka": None}
    for level, measured in (("component", comparison.components), ("tensor", comparison.tensors)):
        for name, found in measured.items():
            values = {"cosine": found.cosine, "distance": found.distance, "split": None, "images": None}
            yield {**about, "level": level, "name": name, **nothing, **values}
    for layer, line in enumerate(comparison.cka):
        for other, value in enumerate(line):
            places = {"layer": layer, "trained_layer": other, "cka": value}
            images = {"split": shown.split, "images": len(shown.labels)}
            yield {**about, "level": "representation", "name": "", **nothing, **places, **images}


def _summary(comparison: Comparison) -> tuple[str, ...]:
    whole = comparison.components["matrices"]
    return (
        comparison.cell.label,
        comparison.against.full_label if comparison.against else "itself",
        rounded(whole.cosine),
        rounded(whole.distance),
        rounded(comparison.cka[1][1]),
        rounded(comparison.cka[-1][-1]),
    )


def page(found: Sequence[Comparison], split: str, images: int) -> Page:
    """Draws one row of panels for each comparison.

    Args:
        split, images: the split, and how many of its images the layers were compared on.
    """
    several = any(len(comparison.cell.target.stages()) > 1 for comparison in found)
    longest = max(len(name) for comparison in found for name in matrices(comparison.cell.target))
    drawn = Page(
        "Initial weights beside trained ones, and what they compute",
        "From left to right: cosine similarity of the blocks' matrices; distance |initial - trained| / |trained|; "
        f"linear CKA of what layers compute on {images} images of the {split} split, layer 0 the "
        f"embedding.{' White lines stand between stages.' * several} The CSV has every tensor.",
        count=3 * len(found),
        across=3,
        height=0.8,
        columns=2,
        left=max(0.4, LETTER_WIDTH * longest + 0.2),
        beside=0.34,
        below=0.36,
        wide=True,
    )
    distances = [_values(comparison, "distance") for comparison in found]
    farthest = max((v for lines in distances for line in lines for v in line if v is not None), default=1.0)
    for number, comparison in enumerate(found):
        cosines = drawn.panel(3 * number, comparison.title)
        _tensors(cosines, comparison, "cosine", ("RdBu_r", -1.0, 1.0))
        _tensors(drawn.panel(3 * number + 1, ""), comparison, "distance", ("viridis", 0.0, farthest or 1.0))
        _representations(drawn.panel(3 * number + 2, ""), comparison)
    return drawn


_WRITTEN = 6
"""Largest number of layers that leaves room for numbers."""

Colors = tuple[str, float, float]
"""Name of a colour map, and the values at its two ends."""


def _tensors(axes: Axes, comparison: Comparison, measure: str, colors: Colors) -> None:
    values = _values(comparison, measure)
    _heat(axes, values, colors)
    names = list(matrices(comparison.cell.target))
    axes.set_yticks(range(len(names)), names)
    _layers(axes, range(1, len(values[0]) + 1))
    for place in _ends_of_stages(comparison):
        axes.axvline(place - 0.5, color="white", linewidth=1.2)
    axes.set_xlabel(f"layer: {measure}")
    if len(values[0]) <= _WRITTEN:
        _write(axes, values, colors)


def _values(comparison: Comparison, measure: str) -> list[list[float | None]]:
    """Lists a measure of the matrices, layer by layer."""
    return [
        [getattr(comparison.tensors[name], measure) if name else None for name in line]
        for line in _matrix_names(comparison.cell.target).values()
    ]


def _ends_of_stages(comparison: Comparison) -> list[int]:
    """Counts the layers up to the end of each stage but the last."""
    depths = [stage.depth for stage in comparison.cell.target.stages()]
    return list(itertools.accumulate(depths))[:-1]


def _write(axes: Axes, values: Sequence[Sequence[float | None]], colors: Colors) -> None:
    """Writes the numbers into the picture."""
    name, least, greatest = colors
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            place = 0.5 if value is None else (value - least) / (greatest - least)
            # The one map is dark at both ends, the other only at its lower one.
            dark = abs(place - 0.5) > 0.35 if name == "RdBu_r" else place < 0.6
            color = "white" if dark else "black"
            axes.text(column, row, rounded(value), ha="center", va="center", size=SMALL_SIZE - 1, color=color)


def _representations(axes: Axes, comparison: Comparison) -> None:
    _heat(axes, comparison.cka, ("viridis", 0.0, 1.0))
    axes.invert_yaxis()
    for place in _ends_of_stages(comparison):
        axes.axvline(place + 0.5, color="white", linewidth=0.8)
        axes.axhline(place + 0.5, color="white", linewidth=0.8)
    depth = comparison.cell.target.depth
    step = 1 + depth // 5
    axes.set_yticks(range(0, depth + 1, step))
    _layers(axes, range(depth + 1))
    axes.set_xlabel("layer, trained: CKA")
    axes.set_ylabel("initial")
    axes.yaxis.set_label_coords(-0.14, 0.5)


def _layers(axes: Axes, numbers: range) -> None:
    step = 1 + len(numbers) // 8
    axes.set_xticks(range(0, len(numbers), step), [str(number) for number in numbers[::step]])


def _heat(axes: Axes, values: Sequence[Sequence[float | None]], colors: Colors) -> None:
    name, least, greatest = colors
    array = np.array([[np.nan if value is None else value for value in line] for line in values], dtype=float)
    axes.set_facecolor("#CCCCCC")
    axes.grid(False)
    image = axes.imshow(array, cmap=name, vmin=least, vmax=greatest, aspect="auto", interpolation="nearest")
    figure: Any = axes.figure
    box = axes.get_position()
    width = figure.get_size_inches()[0]
    bar = figure.colorbar(image, cax=figure.add_axes((box.x1 + 0.05 / width, box.y0, 0.06 / width, box.height)))
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=SMALL_SIZE - 1, length=2, pad=1)
