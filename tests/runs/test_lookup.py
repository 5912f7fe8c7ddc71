"""Look-up of cells by fields, words and addresses."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest

from learngene_bench.runs.lookup import NamedStage, find, find_one
from learngene_bench.util.errors import UserError


def cell(
    method: str, depth: int, seed: int, variant: str = "", task: str = "digits", size: str = "micro"
) -> NamedStage:
    words = [method, f"({variant})" if variant else "", size, f"depth {depth}", f"on {task}" * (task != "digits")]
    label = " ".join(filter(None, [*words, f"seed {seed}"]))
    fields = {"kind": "cell", "method": method, "size": size, "width": "48", "depth": depth, "task": task, "seed": seed}
    options = dict(part.split("=") for part in variant.split(", ")) if variant else {}
    address = hashlib.sha256(label.encode()).hexdigest()
    return NamedStage(
        address,
        label,
        {name: str(value) for name, value in fields.items()},
        {name if "." in name else f"{method}.{name}": value for name, value in options.items()},
    )


SIX_SEEDS = [
    cell(method, depth, seed)
    for method, depth, seed in itertools.product(("wave", "he", "direct-pt"), (4, 6, 8, 10, 12), range(6))
]
VARIANT = [cell("wave", 6, seed, "noise=0.1, finetuning.epochs=3") for seed in range(6)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("depth", [4, 6, 8, 10, 12])
@pytest.mark.parametrize(
    "query", ["method=wave depth={} seed={}", "wave depth {} seed {}", "wave micro depth {} seed {}"]
)
@pytest.mark.parametrize("stages", [SIX_SEEDS, [*VARIANT, *SIX_SEEDS]], ids=["plain", "with a variant"])
def test_six_seeds_are_told_apart(query: str, depth: int, seed: int, stages: list[NamedStage]) -> None:
    """Seeds and depths share their numbers: `wave depth 4 seed 4` is one cell."""
    assert find_one(stages, query.format(depth, seed)).label == f"wave micro depth {depth} seed {seed}"


@pytest.mark.parametrize("query", ["wave depth 6 seed 0", "WAVE, depth 6, seed 0", "wave depth=6 seed=0"])
def test_the_example_of_the_readme_beside_a_variant(query: str) -> None:
    assert find_one([*VARIANT, *SIX_SEEDS], query).label == "wave micro depth 6 seed 0"


@pytest.mark.parametrize(
    "query",
    [
        "wave noise=0.1 seed 0",
        "wave.noise=0.10 seed=0",
        "finetuning.epochs=3 seed=0",
        "epochs=3 depth 6 seed 0",
        "wave (noise=0.1, finetuning.epochs=3) micro depth 6 seed 0",
    ],
)
def test_a_variant_is_named_by_an_option_or_its_label(query: str) -> None:
    assert find_one([*SIX_SEEDS, *VARIANT], query) == VARIANT[0]


def test_labels_of_all_kinds_still_name_their_stage() -> None:
    gene = NamedStage("ab" * 32, "gene of wave, width 48, seed 0", {"kind": "gene", "seed": "0", "width": "48"})
    teacher = NamedStage("cd" * 32, "teacher convnet", {"kind": "ancestor"})
    transfer = [cell("wave", 6, 0, task=task) for task in ("digits-parity", "digits-turned")]
    stages = [teacher, gene, *SIX_SEEDS, *VARIANT, *transfer]
    for stage in stages:
        assert find_one(stages, stage.label) == stage
        assert find_one(stages, stage.address[:12]) == stage
    assert find_one(stages, "gene seed 0") == gene
    assert find_one(stages, "kind=ancestor") == teacher
    assert find_one(stages, "wave on digits-parity") == transfer[0]
    assert find_one(stages, "task=digits-turned") == transfer[1]


def test_several_come_sorted_by_their_fields() -> None:
    found = find(list(reversed(SIX_SEEDS)), "wave seed 1")
    assert [stage.fields["depth"] for stage in found] == ["4", "6", "8", "10", "12"]
    assert len(find(SIX_SEEDS, "")) == len(SIX_SEEDS)
    assert len(find([*SIX_SEEDS, *VARIANT], "wave depth 6")) == 12
    assert find(SIX_SEEDS, "direct-pt 12 seed 3") == [cell("direct-pt", 12, 3)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("wave depth 6", r"'wave depth 6' fits 6 cells, which differ in seed \(0, 1, 2, 3, 4 or 5\): [0-9a-f]{8} wave"),
        ("depth 6 seed 0", r"fits 3 cells, which differ in method \(direct-pt, he or wave\): "),
        ("tleg depth 6", r"no cell fits 'tleg depth 6': unknown word 'tleg' \(valid: cell, digits, direct-pt, he, "),
        ("wvae depth 6", r"unknown word 'wvae': did you mean 'wave'\? \(valid: "),
        ("wave depth 7", r"no cell fits 'wave depth 7': unknown depth '7'.*\(valid: 4, 6, 8, 10, 12\)"),
        ("wave dept=6", r"unknown field 'dept': did you mean 'depth'\? \(valid: "),
        ("wave noise=0.2", r"unknown field 'noise'.*\(valid: depth, kind, "),
        ("wave depth", r"'wave depth': depth has no value \(as in depth=...\)"),
    ],
)
def test_what_fits_none_or_several_is_one_line(query: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        find_one(SIX_SEEDS, query, "cell")
    assert "\n" not in str(raised.value)


def test_parts_that_fit_only_by_themselves() -> None:
    stages = [cell("wave", 4, 0), cell("he", 6, 0)]
    with pytest.raises(UserError, match=r"'wave depth 6', though each part of it fits some: .*there are: "):
        find_one(stages, "wave depth 6", "cell")


def test_cells_of_two_settings_are_told_apart_by_their_address() -> None:
    one = cell("wave", 4, 0)
    other = NamedStage("f" * 64, one.label, one.fields)
    with pytest.raises(UserError, match="fits 2 cells, which differ in their settings: give the beginning of an addr"):
        find_one([one, other], "wave depth 4 seed 0", "cell")
    assert find_one([one, other], "ffff") == other


def test_the_seed_of_a_gene_is_named_like_a_field() -> None:
    def of(gene: int, seed: int) -> NamedStage:
        plain = cell("wave", 6, seed)
        if gene == seed:
            return replace(plain, usual={"gene": str(gene)})
        label = plain.label.replace(" seed", f" gene {gene} seed")
        return replace(plain, label=label, address=f"{gene}{plain.address[1:]}", options={"gene": str(gene)})

    gene = NamedStage("ab" * 32, "gene of wave, width 48, seed 0", {"kind": "gene", "seed": "0", "width": "48"})
    crossed = [of(gene, seed) for gene, seed in itertools.product(range(2), range(3))]
    stages = [gene, *crossed]
    assert find_one(stages, "wave depth 6 gene 1 seed 0") == of(1, 0)
    assert find_one(stages, "method=wave depth=6 gene=0 seed=2") == of(0, 2)
    assert find_one(stages, "wave depth 6 seed 0") == find_one(stages, "wave depth 6 gene 0 seed 0") == of(0, 0)
    assert [stage.fields["seed"] for stage in find(stages, "wave gene 1")] == ["0", "1", "2"]
    assert find_one(stages, "gene of wave") == find_one(stages, "wave gene") == gene
    with pytest.raises(UserError, match=r"unknown gene '7'.*\(valid: 0, 1\)"):
        find(stages, "wave gene 7 seed 0")
