"""`lgbench check`: each broken promise is found by the check that is about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from method_texts import ON_A_GPU, OWN_LOSS, TOO_SHALLOW, WITH_DROP_PATH, checked, direct, failures, with_gene
from plugin_checks import no_import_check

from learngene_bench.conformance.fixtures import shared_benchmark
from learngene_bench.conformance.probe import _Probe

TRAIN = """
        from learngene_bench.expansion.materialised import ExpandedModel
        from learngene_bench.expansion.algebra import Expansion
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        context.train(ExpandedModel(Expansion(target, {}, {}), weights), "inheritance")"""
OWN_LOOP = """
        images = torch.zeros(2, 1, 12, 12)
        model(images).logsumexp(-1).sum().backward()"""
FREEZE = "[parameter.requires_grad_(False) for parameter in model.parameters()]"
SUPPORTS = "def supports(self, target, base): {}"
ONE_TOKEN_TOO_FEW = "write_weights(model, {'pos_embed': torch.zeros(1, target.patches, target.width)})"
DRAWN = "network.non_block.as_dict()['norm.weight'].data.normal_(generator=context.generator('norm'))"
SPARED = """
        names = {name for name, _ in network.named_parameters()}
        network.no_weight_decay = lambda: names
        context.train(network, "condensation")"""
IGNORED = "def ignored_recipe_fields(self, recipe, target, base): return {}"
BROKEN = {
    "nan": (direct("model.head.bias.data[3] = float('nan')"), "complete", "not finite in head.bias"),
    "missing tensor": (direct("model.head = torch.nn.Identity()"), "complete", "lost head.weight, head.bias"),
    "wrong shape": (direct("model.head.bias.data = torch.zeros(3)"), "parameters", "(3,), needed is (10,)"),
    "wrong dtype": (direct("model.double()"), "parameters", "torch.float64, needed is torch.float32"),
    "another object": (
        direct("model.head.bias = torch.nn.Parameter(torch.zeros(target.classes))"),
        "parameters",
        "head.bias is another object than before",
    ),
    "frozen": (direct(FREEZE), "parameters", "no longer requires a gradient"),
    "not deterministic": (
        direct(generator="torch.Generator().manual_seed(int.from_bytes(os.urandom(4)))"),
        "repeats",
        "initialize() wrote other numbers: blocks.0.attn.qkv.weight",
    ),
    "not deterministic in the gene": (
        with_gene(prepare='context.train(network, "condensation"); stem = network.non_block.detached()')
        .replace("weights = network.non_block.detached()", "weights = stem")
        .replace('"norm.weight": weights["norm.weight"]', '"norm.weight": weights["norm.weight"] + os.urandom(1)[0]'),
        "repeats",
        "prepare() made another gene: norm.weight differ",
    ),
    "seed ignored": (direct(generator="torch.Generator().manual_seed(0)"), "seeds", "the same weights for both"),
    "seed not ignored": (direct(declarations="ignores_seed = True"), "seeds", "the class says ignores_seed = True"),
    "torch's random state": (direct("torch.manual_seed(context.seed)"), "global-state", "torch's random state"),
    "numpy's random state": (direct("np.random.seed(0)"), "global-state", "changed numpy's random state"),
    "Python's random state": (direct("random.random()"), "global-state", "changed Python's random state"),
    "gradients off": (direct("torch.set_grad_enabled(False)"), "global-state", "whether torch records gradients"),
    "supports raises": (
        direct(declarations=SUPPORTS.format("return target.no_such_thing")),
        "answers",
        "supports() raised AttributeError",
    ),
    "supports without reason": (
        direct(declarations=SUPPORTS.format("return target.depth > 4")),
        "answers",
        "supports() returned True: the reason as a text, or None",
    ),
    "settings that are not JSON": (
        with_gene().replace('{"scale": 2.0}', '{"scale": 2.0, "x": {1}}'),
        "answers",
        "gene_request() raised TypeError",
    ),
    "crashes on an unsupported target": (
        direct(TOO_SHALLOW),
        "initializes",
        "depth 1, width 16, seed 0: initialize() raised ValueError: four blocks are needed (mine.py, line ",
    ),
    "prepare crashes": (with_gene(prepare="1 / 0"), "initializes", "prepare() raised ZeroDivisionError"),
    "gene of a class of its own": (
        with_gene(
            keep="class Own(Gene): extra = 3\n        return Own(self.name, request.family, tensors, facts)",
            more="gene.extra",
        ),
        "gene",
        "from the loaded gene initialize() raised AttributeError",
    ),
    "gene with other facts": (
        with_gene(
            keep="return Gene(self.name, request.family, tensors, {**facts, 'names': {1: 'one'}})",
            more="gene.facts['names'][1]",
        ),
        "gene",
        "from the loaded gene initialize() raised KeyError",
    ),
    "gene with shared memory": (
        with_gene(keep="return Gene(self.name, request.family, {**tensors, 'again': tensors['norm.weight']}, facts)"),
        "gene",
        "it cannot be saved and loaded: RuntimeError",
    ),
    "gene of another": (
        with_gene(keep='return Gene("wave", request.family, tensors, facts)'),
        "gene",
        "it says it is a gene of 'wave'",
    ),
    "undeclared training": (direct(TRAIN), "cost", "trains by 'inheritance', but trains() does not name it"),
    "undeclared condensation": (
        with_gene(trains="()"),
        "cost",
        "trains by 'condensation', but GeneRequest.trains does not name it",
    ),
    "training of its own": (direct(OWN_LOOP), "cost", "made backward passes outside context.train()"),
    "declared but not spent": (
        direct(declarations="def trains(self): return ('inheritance',)"),
        "cost",
        "trains() names 'inheritance', but initialize() trained by it 0 times",
    ),
    "condensation not spent": (with_gene(prepare=DRAWN), "cost", "prepare() trained by it 0 times"),
    "images not counted": (
        direct("context.source.plain.batch(torch.arange(7), generator, generator)"),
        "cost",
        "was shown 7 training images, 0 are in context.cost",
    ),
    "images not declared": (direct("context.source_images(7)"), "cost", "but reads_images() is False"),
    "images not read": (
        direct(declarations="def reads_images(self): return True"),
        "cost",
        "reads_images() is True, but nothing reads context.source_images()",
    ),
    "stored without a gene": (
        direct(declarations="def stored_shapes(self, target, base): return target.parameter_shapes()"),
        "cost",
        "but there is no gene",
    ),
    "stored beyond the gene": (
        with_gene(declarations="def stored_shapes(self, target, base): return target.parameter_shapes()"),
        "cost",
        "more than the 160 that the gene holds",
    ),
    "drop path ignored by a loss of its own": (
        with_gene(prepare=OWN_LOSS.format(smoothing="smoothing", more="pass")),
        "recipes",
        "another drop_path in 'condensation' gives the same numbers; context.train sets the drop path",
    ),
    "label smoothing ignored by a loss of its own": (
        with_gene(prepare=OWN_LOSS.format(smoothing=0.0, more=WITH_DROP_PATH)),
        "recipes",
        "another label_smoothing in 'condensation' gives the same numbers; take it from context",
    ),
    "weight decay ignored": (
        with_gene(prepare=SPARED),
        "recipes",
        "another weight_decay in 'condensation' gives the same numbers",
    ),
    "several models in vain": (
        with_gene(declarations=IGNORED.format("()")),
        "recipes",
        "another meta_batch_size in 'condensation' gives the same numbers",
    ),
    "used, but declared as ignored": (
        with_gene(declarations=IGNORED.format("('meta_batch_size', 'drop_path')")),
        "recipes",
        "another drop_path in 'condensation' gives other numbers, but ignored_recipe_fields() names it",
    ),
    "test split": (direct('dataset({"name": "digits"}).load().test'), "test-data", "Digits.load()"),
    "test split, cached": (
        direct(
            "from learngene_bench.execution.stage_data import load_data\n"
            "        load_data(canonical({'name': 'digits'}))"
        ),
        "test-data",
        "Digits.load()",
    ),
    "test split, caught": (
        direct('\n        try: dataset({"name": "digits"}).load()\n        except Exception: pass'),
        "test-data",
        "reached for the test split by Digits.load()",
    ),
    "a tensor left on the CPU": (
        with_gene(prepare=ON_A_GPU.format(forward="logits = logits @ torch.eye(10)")),
        "gpu",
        "on a GPU prepare() raises RuntimeError: Expected all tensors to be on the same device",
    ),
    "a network that is not moved": (
        with_gene(
            prepare='network(context.source_images(4).to(context.device)); context.train(network, "condensation")'
        ).replace("def gene_request", "def reads_images(self): return True\n\n    def gene_request"),
        "gpu",
        "make tensors with device=context.device",
    ),
    "class token": (direct(ONE_TOKEN_TOO_FEW), "class-token", "initialize() raised ValueError: pos_embed"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_found_by_the_check_that_is_about_it(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_import_check(monkeypatch)
    text, expected, message = BROKEN[fault]
    if expected != "gpu":  # a third of the time of a check
        monkeypatch.setattr(_Probe, "rehearsed", lambda _, trial: (trial, []))
    every = shared_benchmark("vit").targets()
    one_layer = next(target for target in every if target.spec.depth == 1)
    with_token = next(target for target in every if target.plain_timm)
    found = failures(checked(tmp_path, text, [every[0], one_layer, with_token]))
    assert list(found) == [expected], found
    assert any(message in problem for problem in found[expected]), found
