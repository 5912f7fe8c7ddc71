"""Trained models that a user gives as ancestors: what they cost to run, and whether they can teach."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from learngene_bench.contracts.family import ModelSpec, family_of
from learngene_bench.contracts.initializer import GeneRequest, Pretrained
from learngene_bench.models.flops import counted_flops
from learngene_bench.models.weights import spec_of
from learngene_bench.util.errors import UserError


class AncestorFlops(dict[str, float]):
    """Operations of an ancestor's forward pass, by role; counted when a method asks for them."""

    def __init__(self, models: Mapping[str, nn.Module], request: GeneRequest) -> None:
        super().__init__()
        self.models, self.request = models, request

    def __missing__(self, role: str) -> float:
        model, spec = self.models[role], self.request.family
        if isinstance(self.request.ancestors[role], Pretrained):
            spec = spec_of(model)
            if not family_of(spec).is_general:
                return spec.forward_flops()
        return counted_flops(model, spec.image_shape())


def check_teaches(role: str, model: nn.Module, family: ModelSpec) -> None:
    """Checks that a model can teach one of this spec.

    Raises:
        UserError: it takes other images or has another number of classes.
    """
    shape = (1, *family.image_shape())
    try:
        with torch.no_grad():
            outputs = tuple(model(torch.zeros(shape)).shape)
    except Exception as error:
        raise UserError(f"{role}: fails on images of shape {shape}: {' '.join(str(error).split())[:200]}") from error
    if outputs != (1, family.classes):
        raise UserError(f"{role}: gives outputs of shape {outputs}, a model of {family.classes} classes is needed")
