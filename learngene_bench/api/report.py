"""`InitializationReport`: what an initialization wrote, what kept its numbers and why, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from learngene_bench.contracts.gene import Gene
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.parameter_group import ParameterGroup


@dataclass(frozen=True)
class InitializationReport:
    """The result of `initialize`.

    Attributes:
        written: names of the parameters that the method wrote, also where they had these numbers already.
        unchanged: names of the parameters that it left as they were.
        kept: components among these that could not be written, with the reason: what is inherited has no such part. A
            block's component stands for that of all blocks.
        prepare: cost of making the gene, if it was made here; ancestors are not counted.
        initialize: cost of initializing the model.
        gene: the inherited gene; `report.gene.save(path)` keeps it for other models.
        parameter_groups: names of the parameters that the method trains at other rates than the rest, each with its
            group, whose `learning_rate` and `weight_decay` are factors. The user's optimizer has to have them.
        gene_source: what names the file of the gene and no other: a path, a name, or a reference with revision and
            hash; empty where the gene is no file.
        gene_sha256: hash of that file.
    """

    method: str
    seed: int
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    prepare: Cost
    initialize: Cost
    gene: Gene | None
    kept: Mapping[str, str] = field(default_factory=dict)
    parameter_groups: Mapping[str, ParameterGroup] = field(default_factory=dict)
    gene_source: str = ""
    gene_sha256: str = ""

    def __str__(self) -> str:
        names = self.unchanged
        unchanged = f", left {_some(names)} as they were" if names else ""
        spent = [
            f"{name} {cost.iterations} iterations, {cost.seconds:.1f} s"
            for name, cost in (("prepare", self.prepare), ("initialize", self.initialize))
            if cost.images
        ]
        count = len(self.written) + len(self.unchanged)
        reasons = dict.fromkeys(self.kept.values())
        kept = [f"kept {_some([n for n, why in self.kept.items() if why == reason])}: {reason}" for reason in reasons]
        rates = [f"train {len(self.parameter_groups)} tensors at its own rates"] if self.parameter_groups else []
        wrote = f"{self.method}, seed {self.seed}: wrote {len(self.written)} of {count} tensors{unchanged}"
        source = [f"gene {self.gene_source}"] if self.gene_source else []
        return "; ".join([wrote, *kept, *rates, *spent, *source])


def _some(names: Sequence[str]) -> str:
    """Lists the first four names."""
    return f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
