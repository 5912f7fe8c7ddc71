"""`--seeds GxT`: every gene seed with every target seed, without copies, and with the addresses of ordinary seeds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.planning.sweep import make_sweep
from learngene_bench.planning.sweep_space import parse_sweep
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.seeds import CrossedSeeds, parse_seeds
from learngene_bench.schema.stage import AncestorConfig, CellConfig, GeneConfig
from learngene_bench.util.errors import UserError


def plan_of(methods: str, seeds: str, *settings: str, grid: str = "depth", plugins: tuple[Path, ...] = ()) -> Plan:
    overrides = ["grid.depths=[4]", *settings]
    return make_plan(build_request(methods, grid, "digits", parse_seeds(seeds), overrides, Registry(plugins), False))


def seeds_of(plan: Plan, method: str) -> list[tuple[int, int]]:
    return [cell.seeds for cell in plan.cells if cell.method == method]


def test_every_gene_seed_meets_every_target_seed_and_nothing_is_computed_twice() -> None:
    plan = plan_of("wave,he,direct-pt,telg", "2x3")
    everything = list(itertools.product(range(2), range(3)))
    assert seeds_of(plan, "wave") == seeds_of(plan, "telg") == everything
    assert seeds_of(plan, "he") == [(0, 0), (1, 1), (2, 2)]  # no gene: target seeds alone
    assert seeds_of(plan, "direct-pt") == [(0, 0), (1, 1)]  # not fine-tuned: gene seeds alone
    kinds = [(stage.kind, stage.group[1]) for stage in plan.stages.values()]
    assert kinds.count(("gene", "wave")) == 2
    assert plan.crossed == CrossedSeeds(genes=2, targets=3)


def test_stages_are_of_the_seed_that_decides_them() -> None:
    plan = plan_of("ligo", "2x2")
    for cell in plan.cells:
        stage = plan.stages[cell.address]
        gene = plan.stages[stage.inputs["gene"]]
        ancestors = [plan.stages[address].config for address in gene.inputs.values()]
        assert isinstance(stage.config, CellConfig)
        assert isinstance(gene.config, GeneConfig)
        assert (gene.config.seed, stage.config.seed) == cell.seeds
        assert ancestors
        assert all(isinstance(found, AncestorConfig) and found.seed == gene.config.seed for found in ancestors)


def test_runs_of_one_seed_are_those_of_ordinary_seeds() -> None:
    ordinary, crossed = plan_of("wave,he,direct-pt", "3"), plan_of("wave,he,direct-pt", "3x3")
    same = {cell.address for cell in crossed.cells if cell.gene_seed is None}
    assert same == {cell.address for cell in ordinary.cells}
    assert ordinary.setting == crossed.setting
    assert all(crossed.stages[address].label == ordinary.stages[address].label for address in same)
    others = [crossed.stages[cell.address].label for cell in crossed.cells if cell.gene_seed is not None]
    assert others[0] == "wave micro depth 4 gene 0 seed 1"
    assert len(others) == len({*others}) == 6


def test_a_model_that_is_fine_tuned_on_a_task_has_both_seeds() -> None:
    plan = plan_of("direct-pt,he", "2x2", 'grid.tasks=["shapes"]', grid="transfer")
    assert seeds_of(plan, "direct-pt") == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert seeds_of(plan, "he") == [(0, 0), (1, 1)]


GENES = '''
from learngene_bench import Gene, GeneRequest, Initializer


class Constant(Initializer):
    """Has a gene that no seed decides."""

    name, title, ignores_seed = "constant", "Constant", True

    def gene_request(self, target, base):
        return GeneRequest(base)

    def initialize(self, model, target, gene, context):
        pass


class Drawn(Constant):
    """Has one that is drawn."""

    name, title, ignores_seed = "drawn", "Drawn", False
'''


def test_a_gene_that_no_seed_decides_is_no_reason_for_copies(tmp_path: Path) -> None:
    file = tmp_path / "genes.py"
    file.write_text(GENES)
    plan = plan_of("constant,drawn", "2x2", plugins=(file,))
    assert seeds_of(plan, "constant") == [(0, 0), (1, 1)]
    assert seeds_of(plan, "drawn") == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("text", ["0", "2x0", "x", "3x", "2*3", "-1", "2x3x4", "1.5", "", "٣"])
def test_other_words_are_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^--seeds '.*': expected a number of seeds from 1, as in --seeds 6, or genes"):
        parse_seeds(text)


def test_both_forms_are_read() -> None:
    assert parse_seeds("6") == 6
    assert parse_seeds(" 3X4") == parse_seeds("3×4") == CrossedSeeds(genes=3, targets=4)


def test_a_sweep_selects_by_ordinary_seeds() -> None:
    space = parse_sweep(["finetuning.learning_rate=1e-3,2e-3"], None, 0, [])
    with pytest.raises(UserError, match="independent: --seeds 2, not --seeds 2x4"):
        make_sweep(
            lambda further: build_request(
                "he", "depth", "digits", parse_seeds("2x4"), ["grid.depths=[4]", *further], Registry(), False
            ),
            space,
        )
