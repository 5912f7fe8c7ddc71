"""`Gene`: what a method stores once and every target inherits; a safetensors file with a description inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from learngene_bench.contracts.family import DEFAULT_FAMILY, ModelSpec, spec_from_dict
from learngene_bench.schema.base import Document, Scalar, Text, problem
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import write_bytes
from learngene_bench.util.weight_files import check_weight_file

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "learngene-bench gene 1"
NON_BLOCK = "stem"
"""The part of a gene that holds non-block parameters, as files of this format call it."""


@dataclass(frozen=True)
class Gene:
    """Tensors with a description of what they were made as.

    Attributes:
        method: name of the initializer that made it and can read it.
        family: the model that it was trained as (WAVE's auxiliary model, the pretrained model, ...).
        tensors: name to tensor, on the CPU; ordered by name.
        facts: anything else that the method needs again; JSON.
    """

    method: str
    family: ModelSpec
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A file keeps no order: whoever draws numbers tensor by tensor must draw the same before and after. It keeps no
        # strides either, and matrix products of other strides are rounded differently on some processors.
        tensors = {name: tensor.contiguous() for name, tensor in sorted(self.tensors.items())}
        object.__setattr__(self, "tensors", tensors)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under `name/`, by the rest of their names: genes keep kinds of tensors apart in this way."""
        return {
            key.removeprefix(f"{name}/"): value for key, value in self.tensors.items() if key.startswith(f"{name}/")
        }

    def save(self, path: Path) -> None:
        """Writes the gene whole or not at all."""
        from safetensors.torch import save

        # The default family is not named, so that a gene has the same bytes, and hash, as one of earlier versions.
        family = {
            name: value for name, value in self.family.as_dict().items() if (name, value) != ("family", DEFAULT_FAMILY)
        }
        description = {"method": self.method, "family": family, "facts": dict(self.facts)}
        # One entry only: safetensors writes several in an order that changes from process to process.
        metadata = {FORMAT: json.dumps(description, sort_keys=True)}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        write_bytes(path, save(tensors, metadata))

    @staticmethod
    def load(path: Path) -> Gene:
        """Reads a gene.

        Raises:
            UserError: no such file, or not a gene of this suite.
            DamagedFile: not a readable safetensors file.
        """
        from safetensors import SafetensorError, safe_open

        check_weight_file(path, "gene")
        needed = "needed is the file tensors.safetensors of a gene"
        try:
            with safe_open(path, framework="pt") as stream:
                metadata = stream.metadata() or {}
                if FORMAT not in metadata:
                    raise UserError(f"{path}: not a gene of learngene-bench (no {FORMAT!r} in its header)")
                description = _Description.model_validate_json(metadata[FORMAT])
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        except ValidationError as error:
            raise DamagedFile(f"{path}: no gene that can be read ({problem(error)}); {needed}") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise DamagedFile(f"{path}: no gene that can be read ({error}); {needed}") from error
        try:
            family = spec_from_dict({"family": DEFAULT_FAMILY, **description.family})
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return Gene(description.method, family, tensors, description.facts)


class _Description(Document):
    """The header of a gene's file; the family is not named where it is the default one."""

    method: Text
    family: dict[str, Scalar]
    facts: dict[str, Any]
