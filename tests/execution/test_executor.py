"""How a run keeps its books, without computing anything."""

from __future__ import annotations

from learngene_bench.execution.local import Execution
from learngene_bench.planning.plan import Stage


def test_a_failure_blocks_what_needs_it_and_is_not_done() -> None:
    """A cell may be done although its gene is computed again: someone deleted the gene's folder."""
    ancestor = Stage("ancestor", "ancestor", {}, {})
    gene = Stage("gene", "gene", {}, {"teacher": ancestor.address})
    cells = [Stage("cell", f"cell {seed}", {"seed": seed}, {"gene": gene.address}) for seed in range(3)]
    direct = Stage("cell", "direct", {}, {})
    stages = {stage.address: stage for stage in (ancestor, gene, *cells, direct)}
    execution = Execution(stages, done={cells[0].address}, failed={ancestor.address: "no such file"})
    execution.block()
    assert execution.blocked == {gene.address, cells[1].address, cells[2].address}
    assert execution.ready() == [direct]
    assert not execution.finished
    execution.done.add(direct.address)
    assert execution.finished
