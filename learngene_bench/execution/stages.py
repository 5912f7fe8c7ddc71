"""Computing one stage from its files: an ancestor, a gene, or a cell."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from learngene_bench import distributed
from learngene_bench.config.preset import BaseInitialization, Compute, Teacher
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import Splits
from learngene_bench.contracts.family import ModelSpec, spec_from_dict
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.dataloader import loader_workers
from learngene_bench.execution.stage_data import planned_data, task_data
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import SCHEMA_VERSION, Runs, StageFolder
from learngene_bench.runs.tensors import check_hash, describe, facts_of, load_tensors, save_tensors
from learngene_bench.schema.cost import Cost
from learngene_bench.training.ancestors import build_teacher, forward_flops, load_checkpoint, load_from_timm
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.evaluation import top1
from learngene_bench.training.inputs import new_model, plain_images, source_data, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import Progress, TrainingRun
from learngene_bench.util import provenance, source_code
from learngene_bench.util.errors import MethodFailure, UserError, one_line
from learngene_bench.util.files import file_hash, write_json, write_whole
from learngene_bench.util.interrupt import Stopped
from learngene_bench.util.rng import RngStreams
from learngene_bench.version import PROTOCOL


def execute(runs: Runs, kind: str, address: str, registry: Registry, *, retry_failed: bool = True) -> str:
    """Computes a stage, continuing an interrupted one; each of several processes that compute it together calls this.

    Returns "done", "failed", "busy" (another process has it) or "stopped" (it was asked to, see `stopping`). A failure
    of the method is written to the stage's folder with its traceback.

    Raises:
        UserError: an input is damaged, the disk is full: nothing is recorded, as the user can put it right.
        LostProcess: of several processes, one was killed or failed alone: nothing is recorded.
    """
    folder = runs.folder(kind, address)
    coordination = distributed.Coordination(distributed.world())
    if not distributed.world().is_rank0:
        return coordination.run_on_others(lambda: _Stage(runs, folder, registry).result(kind))
    with coordination.leading(), folder.claim() as held:
        if not held:
            return coordination.finish("busy")
        if folder.result.exists():
            return coordination.finish("done")
        if folder.failed.exists():
            if not retry_failed:
                return coordination.finish("failed")
            folder.forget_failure()
        started = provenance.now()
        stage = _Stage(runs, folder, registry)
        try:
            result = coordination.run_on_rank0(lambda: stage.result(kind))
        except Stopped:
            return coordination.finish("stopped")
        except (UserError, distributed.LostProcess):
            raise
        except Exception as error:
            folder.fail(stage.label, one_line(error), traceback.format_exc())
            return coordination.finish("failed")
        folder.finish(
            {
                "schema_version": SCHEMA_VERSION,
                "protocol": PROTOCOL,
                "kind": kind,
                "address": address,
                **result,
                "inputs": stage.inputs,
                "provenance": stage.provenance(started),
            }
        )
        return coordination.finish("done")


def initial_model(runs: Runs, address: str, registry: Registry) -> nn.Module:
    """A cell's target as its method initialized it, computed again from the cell's files; on the CPU.

    Raises:
        UserError: the method or the data are not those of the run any more, or a file is missing.
        MethodFailure: the method fails this time.
    """
    stage = _Stage(runs, runs.folder("cell", address), registry)
    stage.writes = False
    return stage.initialized()[0]


class _Stage:
    """One stage's configuration, made into objects."""

    def __init__(self, runs: Runs, folder: StageFolder, registry: Registry) -> None:
        self.runs, self.folder, self.registry = runs, folder, registry
        whole = folder.read_config()
        self.label: str = whole["label"]
        self.config: dict[str, Any] = whole["config"]
        self.inputs: dict[str, str] = whole["inputs"]
        self.execution: dict[str, Any] = whole["execution"]
        self.compute = Compute(
            device=self.execution["device"],
            threads=self.config["threads"],
            precision=self.config["precision"],
            compile=self.config["compile"],
            checkpoint_seconds=self.execution["checkpoint_seconds"],
            num_workers=self.execution.get("loaders"),
        )
        self.loaders = loader_workers(self.compute)
        torch.set_num_threads(self.compute.threads)
        self.device = choose_device(self.compute.device)
        self.base = BaseInitialization(**self.config["base"])
        self.facts, self.splits = planned_data(self.config["data"], self.execution["data"])
        self.seed: int = self.config.get("seed", 0)
        self.writes = True  # checkpoints and progress, in its folder
        self.processes = distributed.world()

    def result(self, kind: str) -> dict[str, Any]:
        """The stage's result; nothing where another process leads, which has it too and writes it."""
        return {"ancestor": self.ancestor, "gene": self.gene, "cell": self.cell}[kind]()

    def ancestor(self) -> dict[str, Any]:
        """Trains or loads a network; its weights are the result."""
        network, recipe, flops = self._ancestor_network()
        cost, curve = Cost(), []
        if recipe is not None:
            phase = TrainingRun(
                name="pretraining",
                streams=RngStreams(self.seed),
                compute=self.compute,
                classes=self.facts.classes,
                evaluate=lambda trained: top1(trained, self._validation(), self.compute),
                evaluate_every=5,
                checkpoint=self.folder.checkpoints / "pretraining.pt",
                forward_flops=flops,
                progress=self._progress,
            )
            trained = train(network.to(self.device), self._train(recipe), recipe, phase)
            cost, curve = trained.cost, trained.curve
        else:
            self._load_weights(network)
        accuracy = curve[-1]["top1"] if curve else top1(network.to(self.device), self._validation(), self.compute)
        if not self.processes.is_rank0:
            return {}
        save_tensors(network.cpu().state_dict(), self.folder.tensors)
        return {
            "metrics": {"validation_top1": accuracy},
            "curve": curve,
            "cost": {"train": cost.model_dump()},
            "forward_flops": flops,
            "tensors": facts_of(self.folder.tensors),
        }

    def _ancestor_network(self) -> tuple[nn.Module, Recipe | None, float]:
        """An ancestor before training or loading, the recipe if it is trained, and its forward operations."""
        if "teacher" in self.config:
            teacher = Teacher(**self.config["teacher"])
            self.seed = teacher.seed
            network = build_teacher(teacher, self.facts)
            loaded = teacher.pretrained or teacher.checkpoint is not None
            return network, None if loaded else teacher.recipe, forward_flops(network, self.facts)
        spec = spec_from_dict(self.config["spec"])
        recipe = Recipe(**self.config["recipe"]) if "recipe" in self.config else None
        return self._new_model(spec, recipe.drop_path if recipe else 0.0), recipe, spec.forward_flops()

    def _load_weights(self, network: nn.Module) -> None:
        """Fills an ancestor that is not trained: from a file, or from timm (a teacher of timm's is filled already)."""
        source = self.config.get("source") or self.config["teacher"]
        if source["checkpoint"] is not None:
            load_checkpoint(network, self._weights_file(source["checkpoint"]))
        elif "source" in self.config:
            load_from_timm(network, source["timm"])

    def _weights_file(self, found: str) -> Path:
        """Where the file of this hash lies; raises `UserError` if it is there no more, or another by now."""
        path = Path(self.execution["files"][found])
        try:
            now = file_hash(path)
        except OSError as error:
            raise UserError(f"file of weights {path}: {error.strerror}") from error
        if now != found:
            raise UserError(f"file of weights {path} changed since this was planned; run again")
        return path

    def gene(self) -> dict[str, Any]:
        """Runs a method's `prepare`; the gene is the result."""
        method = self._method({})
        request = GeneRequest(
            family=spec_from_dict(self.config["family"]),
            settings=self.config["settings"],
            trains=tuple(self.config["recipes"]),
            files={role: self._weights_file(found) for role, found in self.config.get("files", {}).items()},
        )
        ancestors, flops, spent = {}, {}, Cost()
        for role, address in self.inputs.items():
            ancestors[role], flops[role], cost = self._load_ancestor(address)
            spent = spent + cost
        context = self._context(self.config["recipes"], ancestors, flops)
        with self._global_stream():
            gene = method.prepare(request, context)
        if not self.processes.is_rank0:
            return {}
        gene.save(self.folder.tensors)
        return {
            "metrics": {},
            "curve": context.curves,
            "cost": {"ancestors": spent.model_dump(), "prepare": context.cost.model_dump()},
            "tensors": facts_of(self.folder.tensors),
        }

    def cell(self) -> dict[str, Any]:
        """Initializes a target, tunes it by the common recipe, and measures it on the held-out split."""
        model, cost, kept_tensors = self.initialized()
        initial = describe({name: parameter.detach() for name, parameter in model.named_parameters()})
        model = model.to(self.device)
        facts, splits = planned_data(*task_data(self.config, self.execution))
        held_out = self._held_out(splits)
        recipe = self._tuning or Recipe(iterations=0, batch_size=1, learning_rate=1.0)
        phase = TrainingRun(
            name="tuning",
            streams=RngStreams(self.seed),
            compute=self.compute,
            classes=facts.classes,
            evaluate=lambda trained: top1(trained, held_out, self.compute),
            evaluate_every=recipe.evaluate_every,
            measure_start=True,
            checkpoint=self.folder.checkpoints / "tuning.pt",
            forward_flops=spec_from_dict(self.config["target"]).forward_flops(),
            progress=self._progress,
        )
        trained = train(model, training_images(splits, recipe, self.device, self.loaders), recipe, phase)
        if not self.processes.is_rank0:
            return {}
        kept = self.folder.model
        save_tensors(model.cpu().state_dict(), kept)
        write_json(self.folder.initial_weights, initial["tensors"])
        return {
            **self.execution["about"],
            "metrics": {"top1": trained.curve[-1]["top1"], "top1_initial": trained.curve[0]["top1"]},
            "curve": trained.curve,
            "cost": {**cost, "tune": trained.cost.model_dump()},
            "initial_weights": {"sha256": initial["sha256"]},
            "kept_tensors": kept_tensors,
            "model": {"sha256": file_hash(kept), "mean": list(splits.mean), "std": list(splits.std)},
            "evaluation": {"split": self.config["evaluation_split"], "images": len(held_out)},
        }

    def initialized(self) -> tuple[nn.Module, dict[str, Any], list[str]]:
        """A cell's target as its method initializes it, on the CPU, and the cost of every phase up to there.

        Also names the tensors that the method left at their base initialization.

        Raises:
            MethodFailure: it has weights that are not finite.
        """
        target = spec_from_dict(self.config["target"])
        method = self._method(self.config["options"])
        nothing = Cost().model_dump()
        gene, spent = None, {"ancestors": nothing, "prepare": nothing}
        if "gene" in self.inputs:
            gene, spent = self._load_gene(self.inputs["gene"])
        model = self._new_model(target, self._tuning.drop_path if self._tuning else 0.0)
        base = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        context = self._context(self.config["recipes"], {}, {})
        with self._global_stream():
            method.initialize(model, target, gene, context)
        for name, parameter in model.named_parameters():
            if not parameter.isfinite().all():
                raise MethodFailure(f"initialize() left numbers in {name} that are not finite")
        kept = [name for name, parameter in model.named_parameters() if torch.equal(parameter, base[name])]
        return model, {**spent, "initialize": context.cost.model_dump()}, kept

    @contextmanager
    def _global_stream(self) -> Iterator[None]:
        """torch's global random numbers, for a method that draws from them all the same: they depend on the seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(RngStreams(self.seed).seed_for("method", "global"))
            yield

    @property
    def _tuning(self) -> Recipe | None:
        """How a cell's target is trained in the end; None where its gene is the finished model."""
        return Recipe(**self.config["tuning"]) if self.config["tuning"] else None

    def provenance(self, started: str) -> dict[str, Any]:
        return {
            "command": self.execution["command"],
            "versions": provenance.versions(),
            "hardware": provenance.hardware(self.device.type, self.compute.threads, self.processes.size),
            "git": provenance.git(),
            "code": {"sha256": source_code.identity()["sha256"], "submitted": self.execution.get("code")},
            "started": started,
            "finished": provenance.now(),
            "data": self.config["data"],
            **({"task": self.config["task"]} if "task" in self.config else {}),
        }

    def _method(self, options: Mapping[str, Any]) -> Initializer:
        identity = self.config["method"]
        registered = self.registry.get(identity["name"])
        if (registered.kind.version, registered.source_hash) != (identity["version"], identity["source_hash"]):
            raise UserError(f"method {identity['name']!r} has changed since this run was planned; run again")
        return registered.create(dict(options))

    def _new_model(self, spec: ModelSpec, drop_path: float) -> nn.Module:
        return new_model(spec, self.base, self.seed, drop_path)

    def _context(
        self, recipes: Mapping[str, Any], ancestors: Mapping[str, nn.Module], flops: Mapping[str, float]
    ) -> MeteredContext:
        made = {name: Recipe(**values) for name, values in recipes.items()}
        return MeteredContext(
            seed=self.seed,
            device=self.device,
            compute=self.compute,
            base=self.base,
            recipes=made,
            ancestors=ancestors,
            ancestor_flops=flops,
            same_task="task" not in self.config,
            source=source_data(self.splits, self.facts.classes, made, self.device, self.loaders),
            checkpoints=self.folder.checkpoints if self.writes else None,
            progress=self._progress if self.writes else None,
        )

    def _train(self, recipe: Recipe) -> SplitImages:
        return training_images(self.splits, recipe, self.device, self.loaders)

    def _validation(self) -> SplitImages:
        return plain_images(self.splits.validation, self.splits, self.device, self.loaders)

    def _held_out(self, splits: Splits) -> SplitImages:
        """The split that numbers are reported on; only `cell` calls this, after the method is through."""
        split = splits.test if self.config["evaluation_split"] == "test" else splits.validation
        return plain_images(split, splits, self.device, self.loaders)

    def _load_ancestor(self, address: str) -> tuple[nn.Module, float, Cost]:
        folder = self.runs.folder("ancestor", address)
        result = folder.read_result()
        stage = _Stage(self.runs, folder, self.registry)
        network, _, _ = stage._ancestor_network()
        network.load_state_dict(load_tensors(folder, result))
        return network.eval(), result["forward_flops"], Cost(**result["cost"]["train"])

    def _load_gene(self, address: str) -> tuple[Gene, dict[str, Any]]:
        folder = self.runs.folder("gene", address)
        result = folder.read_result()
        check_hash(folder, result)
        return Gene.load(folder.tensors), result["cost"]

    @property
    def _progress(self) -> Progress:
        """Not a method: through a bound one, what holds it (a method's context) could reach the test split."""
        return partial(_write_progress, self.folder.progress)


def _write_progress(
    path: Path,
    phase: str,
    step: int,
    steps: int,
    epoch: float,
    epochs: float,
    top1: float | None,
    seconds_left: float | None,
) -> None:
    state = {"phase": phase, "step": step, "steps": steps, "epoch": epoch, "epochs": epochs, "top1": top1}
    text = json.dumps({**state, "seconds_left": seconds_left, "time": time.time()})
    # Twice a second: training does not wait for the disk.
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), durable=False)


def choose_device(name: str) -> torch.device:
    """Raises `UserError` if CUDA is asked for and not there, or fewer GPUs are than processes."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("compute.device is 'cuda', but torch sees no GPU (valid here: auto, cpu)")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and distributed.world().size > 1:
        torch.cuda.set_device(distributed.world().gpu())
    return torch.device(name)
