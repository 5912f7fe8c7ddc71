"""`lgbench check`: the suite's own methods pass; each broken promise is found by the check that is about it."""

from __future__ import annotations

import gc
import json
import types
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from allowed_waits import is_allowed

from learngene_bench.cli.main import run_command
from learngene_bench.conformance import runner
from learngene_bench.conformance.fixtures import TinyTarget, shared_benchmark
from learngene_bench.conformance.probe import _Probe
from learngene_bench.conformance.runner import CheckStatus, ConformanceReport, Outcome, check
from learngene_bench.contracts.dataset import Splits
from learngene_bench.execution.cell_stage import CellStage
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.training.context import MeteredContext


@pytest.mark.parametrize("name", Registry().names())
def test_the_suites_own_methods_pass(name: str) -> None:
    report = check(Registry().get(name))
    assert report.passed, failures(report)
    assert {outcome.status for outcome in report.outcomes} == {"passed"}
    (on_a_gpu,) = [outcome.detail.splitlines() for outcome in report.outcomes if outcome.check == "gpu"]
    assert [line for line in on_a_gpu[1:] if not is_allowed(line.rpartition(", ")[2])] == []


def failures(report: ConformanceReport) -> dict[str, list[str]]:
    """Returns the problems of each check that failed."""
    return {
        outcome.check: [f"{problem.where}: {problem.what}" for problem in outcome.problems]
        for outcome in report.outcomes
        if outcome.status == "failed"
    }


DIRECT = """
import os, random
import numpy as np
from learngene_bench.util.files import canonical
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.util.lazy import torch
from learngene_bench.plugins.registry import dataset
from learngene_bench.models.weights import write_weights

class Mine(Initializer):
    name, title = "mine", "Mine"
    {declarations}

    def initialize(self, model, target, gene, context):
        generator = {generator}
        matrices = {{name: shape for name, shape in target.parameter_shapes().items() if len(shape) == 2}}
        write_weights(model, {{name: torch.randn(shape, generator=generator) for name, shape in matrices.items()}})
        {more}
"""


def direct(more: str = "pass", declarations: str = "pass", generator: str = 'context.generator("mine")') -> str:
    """A method without a gene: matrices are drawn, then comes `more`."""
    return DIRECT.format(more=more, declarations=declarations, generator=generator)


WITH_GENE = """
import os
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer
from learngene_bench.models.weights import write_weights

class Mine(Initializer):
    name, title = "mine", "Mine"
    {declarations}

    def gene_request(self, target, base):
        return GeneRequest(base, {{"teacher": Distiller()}}, {{"scale": 2.0}}, {trains})

    def prepare(self, request, context):
        from learngene_bench.expansion.materialised import ExpandedModel
        stem = context.base_weights(request.family)
        network = ExpandedModel(Expansion(request.family, {{}}, {{}}), stem)
        {prepare}
        weights = network.non_block.detached()
        tensors = {{"pos_embed": weights["pos_embed"], "norm.weight": weights["norm.weight"]}}
        facts = dict(request.settings)
        {keep}

    def initialize(self, model, target, gene, context):
        if target.width == gene.family.width:
            write_weights(model, {{"norm.weight": gene.tensors["norm.weight"] * gene.facts["scale"]}})
        {more}
"""


def with_gene(
    prepare: str = 'context.train(network, "condensation", teacher="teacher")',
    keep: str = "return Gene(self.name, request.family, tensors, facts)",
    trains: str = '("condensation",)',
    more: str = "pass",
    declarations: str = "pass",
) -> str:
    """A method that distils a model and hands on its final norm, times a fact of the gene."""
    return WITH_GENE.format(prepare=prepare, keep=keep, trains=trains, more=more, declarations=declarations)


def checked(tmp_path: Path, text: str, targets: Collection[TinyTarget] = ()) -> ConformanceReport:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return check(Registry([path]).get("mine"), targets=targets)


TRAIN = """
        from learngene_bench.expansion.materialised import ExpandedModel
        from learngene_bench.expansion.algebra import Expansion
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        context.train(ExpandedModel(Expansion(target, {}, {}), weights), "inheritance")"""
OWN_LOOP = """
        images = torch.zeros(2, 1, 12, 12)
        model(images).logsumexp(-1).sum().backward()"""
FREEZE = "[parameter.requires_grad_(False) for parameter in model.parameters()]"
TOO_SHALLOW = "if target.depth < 4: raise ValueError('four blocks are needed')"
SUPPORTS = "def supports(self, target, base): {}"
ONE_TOKEN_TOO_FEW = "write_weights(model, {'pos_embed': torch.zeros(1, target.patches, target.width)})"
DRAWN = "network.non_block.as_dict()['norm.weight'].data.normal_(generator=context.generator('norm'))"
OWN_LOSS = """
        from torch.nn.functional import cross_entropy
        from learngene_bench.training.custom_objective import CustomObjective
        class Own(CustomObjective):
            def __init__(self):
                super().__init__()
                self.network = network
            def sample_step(self, generator): pass
            def step_flops(self): return 0.0, 0.0
            def forward(self, images, targets=None, smoothing=0.0):
                logits = self.network(images)
                return logits if targets is None else cross_entropy(logits, targets, label_smoothing={smoothing})
        {more}
        context.train(Own(), "condensation")"""
WITH_DROP_PATH = 'network.set_drop_path(context.recipes["condensation"].drop_path)'
SPARED = """
        names = {name for name, _ in network.named_parameters()}
        network.no_weight_decay = lambda: names
        context.train(network, "condensation")"""
ON_A_GPU = """
        import torch
        from learngene_bench.expansion.materialised import ExpandedModel
        class Own(ExpandedModel):
            def forward(self, images):
                logits = super().forward(images)
                {forward}
                return logits
        network = Own(Expansion(request.family, {{}}, {{}}), stem)
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


@pytest.mark.parametrize(
    "text", [direct(), with_gene(), with_gene(prepare=OWN_LOSS.format(smoothing="smoothing", more=WITH_DROP_PATH))]
)
def test_a_sound_plugin_passes(tmp_path: Path, text: str) -> None:
    report = checked(tmp_path, text)
    assert {outcome.status for outcome in report.outcomes} == {"passed"}, failures(report)


def test_a_plugin_may_import_torch(tmp_path: Path) -> None:
    report = checked(tmp_path, f"import torch\n{direct()}")
    assert report.passed
    assert [outcome.check for outcome in report.outcomes if outcome.status == "note"] == ["import"]


def test_a_step_that_waits_for_a_gpu_is_a_note_with_its_place(tmp_path: Path) -> None:
    waiting = with_gene(prepare=ON_A_GPU.format(forward="assert logits.isfinite().all()"))
    report = checked(tmp_path, waiting, shared_benchmark("vit").targets()[:1])
    (found,) = [outcome for outcome in report.outcomes if outcome.check == "gpu"]
    assert report.passed
    assert found.status == "note"
    assert found.detail.startswith("training steps wait for a GPU: 3 times _local_scalar_dense at mine.py, line ")


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_found_by_the_check_that_is_about_it(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process for each check that a module imports no torch takes longer than all other checks together.
    monkeypatch.setattr(runner, "_check_import", lambda _: Outcome("import", "", CheckStatus.PASSED, ""))
    text, expected, message = BROKEN[fault]
    if expected != "gpu":  # a third of the time of a check
        monkeypatch.setattr(_Probe, "rehearsed", lambda _, trial: (trial, []))
    every = shared_benchmark("vit").targets()
    one_layer = next(target for target in every if target.spec.depth == 1)
    with_token = next(target for target in every if target.plain_timm)
    found = failures(checked(tmp_path, text, [every[0], one_layer, with_token]))
    assert list(found) == [expected], found
    assert any(message in problem for problem in found[expected]), found


def reachable(start: object) -> list[object]:
    """Returns every object that a method could come to from this one, without modules and the names in them."""
    reached, waiting = {}, [start]
    while waiting:
        thing = waiting.pop()
        if id(thing) in reached or isinstance(thing, type | types.ModuleType | types.FunctionType):
            continue
        reached[id(thing)] = thing
        waiting += gc.get_referents(thing)
    return list(reached.values())


def context_of_a_stage(folder: Path) -> tuple[MeteredContext, Splits]:
    """Returns what a benchmark hands to He-Init for its first cell."""
    assert run_command(["run", "--executor", "inline", "--quick", "--method", "he", "--runs", str(folder)]) == 0
    address = min(path.name for path in (folder / "cell").iterdir())
    stage = CellStage(Runs(folder), address, Registry())
    return stage.make_context("target", stage.target, stage.config.recipes), stage.source[1]


@pytest.mark.parametrize("where", ["benchmark", "check"])
def test_nothing_in_a_context_leads_to_the_test_split(where: str, tmp_path: Path) -> None:
    if where == "benchmark":
        context, splits = context_of_a_stage(tmp_path)
    else:
        benchmark = shared_benchmark("vit")
        recipes = benchmark.recipes(("inheritance",), 16, {})
        context, splits = benchmark.context("target", benchmark.targets()[0].spec, recipes, 0), benchmark.splits
    found = reachable(context)
    tensors = {thing.data_ptr() for thing in found if isinstance(thing, torch.Tensor)}
    assert torch.from_numpy(splits.train.images).data_ptr() in tensors
    assert torch.from_numpy(splits.test.images).data_ptr() not in tensors
    assert not any(thing is splits or thing is splits.test or thing is splits.test.images for thing in found)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(direct(TOO_SHALLOW))
    monkeypatch.setenv("COLUMNS", "60")
    assert run_command(["check", "mine", "--plugin", str(path)]) == 1
    out = capsys.readouterr().out
    checks = [line for line in out.splitlines() if line.startswith(("passed", "FAILED"))]
    assert len(checks) == 17
    assert max(map(len, checks)) <= 60
    assert f"mine, from {path}" in out
    assert "FAILED  initializes " in out
    assert "16 passed, 1 failed" in out
    assert "--debug shows every problem and the tracebacks" in " ".join(out.split())
    assert "Traceback" not in out
    assert run_command(["check", "mine", "--plugin", str(path), "--debug"]) == 1
    out = capsys.readouterr().out
    assert f'File "{path}", line' in out
    assert run_command(["check", "mine", "--plugin", str(path), "--format", "json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert not report["passed"]
    statuses = {judged["check"]: judged["status"] for judged in report["checks"]}
    assert statuses == dict.fromkeys(statuses, "passed") | {"initializes": "failed"}


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "wav"]) == 2
    assert "unknown method 'wav': did you mean 'wave'?" in capsys.readouterr().err
    assert run_command(["check", "wave:inheritance=x"]) == 2
    assert "inheritance: input should be 'padding' or 'interpolate'" in capsys.readouterr().err
