"""Reads the `TimmSpec` of a live model: what is found in its structure, whatever its class is called.

A *list* is a module whose children are numbered. A *block* is a child of a list that holds attention or an MLP, which
is seen by the names of its parameters. Neighbouring blocks with the same parameters are a stage.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from torch import nn

from learngene_bench.contracts.family import Shapes, Stage
from learngene_bench.models.timm.spec import TimmSpec
from learngene_bench.models.timm.structure import Structure
from learngene_bench.util.errors import UserError

ATTENTION = re.compile(r"(^|\.)(qkv|qkvs|qkv_proj|in_proj|qk|kv|q|q_proj|to_query|wq)\.")
"""Parameters that make queries, keys and values."""
MLP = re.compile(r"(^|\.)mlp[^.]*\.")
HEADS = re.compile(r"(.*head[^.]*|classifier|fc)\.")
"""Parameters of a head, if they have as many rows as there are classes."""
TOKENS = ("cls_token", "dist_token", "reg_token")
"""Tokens before the patches, in the order in which timm's models put them."""
SIZES = range(32, 513, 32)
"""Image sizes that are tried on a model that does not say which it takes."""


def timm_spec_of(model: nn.Module) -> TimmSpec:
    """Reads the spec of a model.

    Raises:
        UserError: it has no blocks, or takes no images; the message names what was not found.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    lists = _lists_of_blocks(shapes)
    stages = tuple(stage for path, blocks in lists for stage in _stages(path, blocks, model))
    if not stages:
        raise UserError(
            f"{type(model).__name__} has no blocks: none of its lists of layers holds attention (qkv, or q, k and v) "
            "or an MLP"
        )
    outside = {name: shape for name, shape in shapes.items() if not name.startswith(_block_prefixes(stages))}
    classes = int(getattr(model, "num_classes", 0) or 0)
    head = {name: shape for name, shape in outside.items() if shape[0] == classes and HEADS.match(name)}
    non_block = {name: shape for name, shape in outside.items() if name not in head}
    channels, *image = _image_shape(model)
    dimensions = {stage.width // count for stage in stages for count in stage.heads.values()}
    patch = _pair(_first(model, "patch_size"))
    parts = Structure(
        stages,
        non_block,
        head,
        (image[0], image[1]),
        grid=_pair(_first(model, "grid_size")) or ((image[0] // patch[0], image[1] // patch[1]) if patch else (0, 0)),
        prefix={name: shape[1] for token in TOKENS for name, shape in non_block.items() if name.endswith(token)},
    )
    return TimmSpec(
        depth=sum(stage.depth for stage in stages),
        width=stages[0].width,
        image_size=image[0],
        channels=channels,
        classes=classes,
        architecture=_architecture(model),
        head_dimension=dimensions.pop() if len(dimensions) == 1 and stages[0].heads else None,
        patch_size=patch[0] if patch and patch[0] == patch[1] else None,
        structure=parts.as_text(),
    )


def _lists_of_blocks(shapes: Shapes, path: str = "") -> Iterator[tuple[str, dict[int, Shapes]]]:
    """Finds the lists that hold blocks: of lists within each other the outermost that has two equal neighbours.

    Args:
        shapes: parameter shapes of the module at this path, by their names in it.
    """
    children: dict[str, Shapes] = {}
    for name, shape in shapes.items():
        child, _, rest = name.partition(".")
        if rest:
            children.setdefault(child, {})[rest] = shape
    inner = [found for name, part in children.items() for found in _lists_of_blocks(part, f"{path}.{name}".lstrip("."))]
    blocks = {int(name): part for name, part in children.items() if name.isdigit() and any(map(_is_of_block, part))}
    has_equal_neighbours = any(blocks.get(index + 1) == block for index, block in blocks.items())
    if blocks and (has_equal_neighbours or not inner or len(children) == 1):
        yield path, blocks
    else:
        yield from inner


def _is_of_block(name: str) -> bool:
    return bool(ATTENTION.search(name) or MLP.search(name))


def _stages(path: str, blocks: dict[int, Shapes], model: nn.Module) -> Iterator[Stage]:
    """Groups blocks that follow each other and have the same parameters and heads."""
    kinds = [(index, shapes, _heads(model.get_submodule(f"{path}.{index}"))) for index, shapes in blocks.items()]
    # Blocks that follow each other have one difference between their index and their place.
    for (_, shapes, heads), group in groupby(enumerate(kinds), key=lambda item: (item[1][0] - item[0], *item[1][1:])):
        indices = [index for _, (index, *_) in group]
        yield Stage(path, len(indices), _width(shapes), shapes, heads, indices[0])


def _heads(block: nn.Module) -> dict[str, int]:
    """Finds the attention heads in a block, by the path of the module that has them."""
    found = {}
    for path, module in block.named_modules():
        heads = getattr(module, "num_heads", getattr(module, "heads", None))
        if isinstance(heads, int) and any(ATTENTION.match(name) for name, _ in module.named_parameters()):
            found[path] = heads
    return found


def _width(shapes: Shapes) -> int:
    """Finds the channels that pass through a block: inputs of its first attention, or else outputs of its last MLP."""
    inputs = [shape[1] for name, shape in shapes.items() if len(shape) > 1 and ATTENTION.search(name)]
    outputs = [shape[0] for name, shape in shapes.items() if len(shape) in (2, 4) and MLP.search(name)]
    return inputs[0] if inputs else outputs[-1]


def _block_prefixes(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    return tuple(stage.parameter(layer, "") for stage in stages for layer in range(stage.depth))


def _architecture(model: nn.Module) -> str:
    settings: Any = getattr(model, "pretrained_cfg", None) or {}
    return str((settings.get("architecture") if isinstance(settings, dict) else settings.architecture) or "")


def _first(model: nn.Module, attribute: str) -> Any:
    """Looks up an attribute of the patch embedding, or of the model."""
    for owner in ("patch_embed", "embeds", "stem", ""):
        module = getattr(model, owner, None) if owner else model
        if (value := getattr(module, attribute, None)) is not None:
            return value
    return None


def _pair(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _image_shape(model: nn.Module) -> tuple[int, ...]:
    """Finds channels, height and width of an image that the model takes: as it says, or by trying sizes on a copy."""
    said = tuple((getattr(model, "pretrained_cfg", None) or {}).get("input_size", ()))
    convolutions = (int(module.weight.shape[1]) for module in model.modules() if isinstance(module, nn.Conv2d))
    channels = _first(model, "in_chans") or next(convolutions, said[0] if said else 3)
    if size := _pair(_first(model, "img_size")):
        return (channels, *size)
    # A copy whose tensors are on the device "meta" costs no memory, and computes nothing.
    tensors = [*model.parameters(), *model.buffers()]
    skeleton = copy.deepcopy(model, {id(tensor): _without_numbers(tensor) for tensor in tensors}).eval()
    problem: Exception | None = None
    for shape in [*([(channels, *said[1:]), said] if said else []), *((channels, side, side) for side in SIZES)]:
        try:
            with torch.no_grad(), torch.device("meta"):
                skeleton(torch.zeros(1, *shape))
        except Exception as error:
            problem = problem or error
        else:
            return shape
    message = " ".join(str(problem).split())[:200]
    raise UserError(f"{type(model).__name__} takes no image of a size that was tried: {message}")


def _without_numbers(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
