"""Finds out what a method needs and which sizes it makes of it, by asking the method about small examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES, ModelFamily, ModelSpec
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer, Pretrained
from learngene_bench.planning.source_model import takes_from

Need = Literal["smaller model", "larger model", "teacher", "training", "images"]
"""A trained model of the family, smaller or larger than the target; a trained model of any architecture; training by
the method itself; a look at training images without training."""

Change = Literal["deeper", "wider", "deeper and wider", "shallower", "narrower", "shallower and narrower"]
"""Difference of a target from the model that its weights, or its gene, are made of."""

CHANGES: tuple[Change, ...] = get_args(Change)
GROWTH, SHRINKING = CHANGES[:3], CHANGES[3:]


@dataclass(frozen=True)
class Capabilities:
    """Uses of a method.

    Attributes:
        needs: what it needs, in the order of `Need`; nothing for a method that needs nothing.
        makes: how targets may differ from the model that is handed over, in the order of `CHANGES`.
    """

    needs: tuple[Need, ...]
    makes: tuple[Change, ...]

    @property
    def needs_text(self) -> str:
        """The needs in a few words."""
        words: list[str] = [need for need in self.needs if not need.endswith("model")]
        models = [need.removesuffix(" model") for need in self.needs if need.endswith("model")]
        if models:
            size = f"{models[0]} " if len(models) == 1 else ""
            words.insert(0, f"a {size}trained model")
        return ", ".join(words).replace("teacher", "a teacher") or "nothing"

    @property
    def makes_text(self) -> str:
        """The changes in a few words; "both" is both of those before it."""
        if set(self.makes) == set(CHANGES):
            return "any size"
        if {"deeper", "shallower"} <= set(self.makes):
            return ", ".join(["any depth", *(change for change in self.makes if change in ("wider", "narrower"))])
        return ", ".join("both" if "and" in change and len(self.makes) > 1 else change for change in self.makes)


def capabilities(method: Initializer) -> Capabilities:
    """Asks a method about models of the first family that it works for.

    A target counts if the method supports it, starting from one trained model of the family, from one gene that it
    shares with targets of the gene's own size, from a model that is trained for it alone, or from nothing.
    """
    family = FAMILIES.get(method.families[0] if method.families else DEFAULT_FAMILY)()
    makes: list[Change] = []
    needs: set[Need] = set()
    for change, (source, target) in _examples(family).items():
        fitted = method.fitted_to(source)
        if fitted.supports(target, source) is not None:
            continue
        request = fitted.gene_request(target, source)
        if request is not None and not (request.family.sizes() == target.sizes() or _serves(fitted, request, source)):
            continue
        makes.append(change)
        needs |= _needs(fitted, request, change)
    return Capabilities(tuple(need for need in get_args(Need) if need in needs), tuple(makes))


def _examples(family: ModelFamily) -> Mapping[Change, tuple[ModelSpec, ModelSpec]]:
    """Describes a model that is there and one that is needed, for every change."""
    _, deep = family.example_targets(image_size=32, channels=3, classes=10)[0]
    large = family.widened(deep, 2)
    shallow, wide = deep.with_depth(deep.depth // 2), large.with_depth(deep.depth // 2)
    return {
        "deeper": (shallow, deep),
        "wider": (shallow, wide),
        "deeper and wider": (shallow, large),
        "shallower": (large, wide),
        "narrower": (large, deep),
        "shallower and narrower": (large, shallow),
    }


def _serves(method: Initializer, request: GeneRequest, source: ModelSpec) -> bool:
    """Returns True if a gene is made of the source, or is the one that a target of the source's size inherits too."""
    if any(isinstance(ancestor, Pretrained) for ancestor in request.ancestors.values()):
        return takes_from(source, request)
    return request == method.gene_request(source, source)


def _needs(method: Initializer, request: GeneRequest | None, change: Change) -> set[Need]:
    ancestors = request.ancestors.values() if request else ()
    trains = method.trains() or (request and request.trains) or method.is_trained
    found: dict[Need, object] = {
        "smaller model": change in GROWTH and any(isinstance(each, Pretrained) for each in ancestors),
        "larger model": change in SHRINKING and any(isinstance(each, Pretrained) for each in ancestors),
        "teacher": any(isinstance(each, Distiller) for each in ancestors),
        "training": trains,
        "images": method.reads_images(),
    }
    if method.is_trained:
        return {"training"}
    return {need for need, is_needed in found.items() if is_needed}
