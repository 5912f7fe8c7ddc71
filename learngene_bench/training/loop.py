"""The one training loop: ancestors, condensations, scalers and targets are all trained here.

The loop never waits for the device inside an epoch, and everything random in it comes from a stream of its own. So a
run that is killed and continues from its checkpoint ends, on a CPU, with the same bits as one that was never killed.

Several processes that compute a stage together (`distributed`) each call `train` with the same arguments. Each trains
on its shard of every batch, and torch's `DistributedDataParallel` averages the gradients.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.dataloader import translate_loader_errors
from learngene_bench.data.mixup import ResumableMixup
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule, ScheduledBatch
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.progress import Progress
from learngene_bench.training.checkpoint import read_checkpoint, write_checkpoint
from learngene_bench.training.custom_objective import CustomObjective
from learngene_bench.training.evaluation import autocast
from learngene_bench.training.optimizer import optimizer_of, schedule_of
from learngene_bench.training.run import TrainedCurve, TrainingRun
from learngene_bench.util import interrupt
from learngene_bench.util.errors import DamagedFile, MethodFailure, one_line
from learngene_bench.util.rng import seed_globally

SYNC_SECONDS = 1.0
"""Seconds of training between two moments when several processes agree whether to stop or to save."""


def train(network: nn.Module, data: SplitImages, recipe: Recipe, run: TrainingRun) -> TrainResult:
    """Trains the parameters of `network` that require gradients, in place.

    Args:
        network: images (B, C, H, W) to outputs (B, ...) of the task kind; a `CustomObjective` gives its loss itself.

    Raises:
        MethodFailure: the loss is not finite.
        UserError: the recipe does not suit the task kind; a batch is too small for so many processes; an image does
            not decode; the checkpoint is damaged, or was written by another number of processes.
    """
    run.kind.check_recipe(recipe, run.name)
    loop = _TrainingLoop(network, data, recipe, run)
    # Drop path draws from torch's global generator: fork it, so that nobody else's numbers change.
    cuda = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(cuda), translate_loader_errors():
        loop.start()
        loop.train()
    return loop.result


class _TrainingLoop:
    """The state of one training: what a checkpoint holds."""

    def __init__(self, network: nn.Module, data: SplitImages, recipe: Recipe, run: TrainingRun) -> None:
        self.network, self.data, self.recipe, self.run = network, data, recipe, run
        self.custom_objective = network if isinstance(network, CustomObjective) else None
        if self.custom_objective and run.teacher is not None:
            raise TypeError(f"{run.name}: a network with an objective of its own cannot be distilled")
        self.world = run.world
        self.schedule = BatchSchedule(len(data), recipe, run.streams, run.name, self.world.rank, self.world.size)
        self.steps, self.steps_per_epoch = self.schedule.steps, self.schedule.steps_per_epoch
        self.device = data.device
        parallel = self._distribute(network)
        compiled = run.compute.compile and self.custom_objective is None
        self.compiled: nn.Module = torch.compile(parallel) if compiled else parallel  # type: ignore[assignment]
        self.trainable = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(network, recipe, run.parameter_groups)
        self.learning_rate = schedule_of(self.optimizer, recipe, self.steps, self.steps_per_epoch)
        self.step = self.first_step = self.next_sync = 0
        self.losses = torch.zeros((), device=self.device)
        self.loss_count = 0
        self.custom_flops = 0.0
        self.result = TrainResult()
        self.began = self.started = self.reported = self.saved = time.monotonic()

    def _distribute(self, network: nn.Module) -> nn.Module:
        """Wraps the network so that its gradients are averaged over all processes; it starts from rank 0's weights.

        On GPUs batch norm takes its statistics over the whole batch. torch's `SyncBatchNorm` does not exist for CPUs:
        there each process normalises by its own images, and `measure` uses the running statistics of rank 0.
        """
        if self.world.size == 1 or not self.steps:
            return network
        return DistributedDataParallel(convert_sync_batchnorm(network) if self.device.type == "cuda" else network)

    def start(self) -> None:
        """Seeds everything random, and continues from the checkpoint if there is one."""
        path = self.run.checkpoint
        state = read_checkpoint(path, self.world, self.device.type) if path else None
        if state:
            self.step = self.first_step = self._checked_step(state)
        # Order is common to all processes; what is drawn for an image, and drop path, are each process's own.
        run, streams = self.run, self.run.streams.for_rank(self.world.rank, self.step)
        seed_globally(streams.seed_for(run.name, "drop path"), self.device)
        self.augmentation = AugmentationRng.of(streams, run.name, str(self.device))
        self.mixup = None
        if self.recipe.mixup or self.recipe.cutmix:
            self.mixup = ResumableMixup(self.recipe, run.classes, streams.seed_for(run.name, "mixup"))
        if state:
            try:
                self._restore(state)
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise self._damaged(one_line(error)) from error
            self.track()

    def _checked_step(self, state: dict[str, Any]) -> int:
        """Returns the step that a checkpoint was saved after. Raises `DamagedFile` if there is no such step."""
        step = state.get("step")
        if type(step) is not int or not 0 <= step <= self.steps:
            raise self._damaged(f"saved after step {step!r} of {self.steps}")
        if (step < self.steps) != ("training" in state):
            raise self._damaged(f"saved after step {step} of {self.steps}, but not as such a checkpoint is")
        return step

    def _damaged(self, problem: str) -> DamagedFile:
        return DamagedFile(f"{self.run.checkpoint}: damaged checkpoint ({problem}): move it away and run again")

    def train(self) -> None:
        if self.step == 0 and self.run.measure_start and not self.result.curve:
            self.measure()
        with closing(self.data.batches(self.batches_to_come(), self.augmentation)) as batches:
            for images, labels in batches:
                self.train_step(images, labels)
                self.step += 1
                if self.step % self.steps_per_epoch == 0 or self.step == self.steps:
                    self.end_of_epoch()
                self.report_progress()
                if self.step >= self.next_sync:
                    self.sync_and_checkpoint()
        self.network.eval()
        self.optimizer.zero_grad(set_to_none=True)  # whoever moves the network moves no gradients
        self.save()

    def batches_to_come(self) -> Iterator[ScheduledBatch]:
        """Returns the batches from the current step to the last, so that loading ahead need not stop between epochs."""
        return map(self.schedule.batch, range(self.step, self.steps))

    def sync_and_checkpoint(self) -> None:
        """Stops if that is asked for, saves if it is time: all processes after the same step, which rank 0 decides."""
        due, next_sync = 0, self.step + 1
        if self.world.is_rank0:
            due = int(time.monotonic() - self.saved > self.run.compute.checkpoint_seconds)
        if self.world.size > 1:  # every agreement is a wait for all of them
            seconds = min(SYNC_SECONDS, self.run.compute.checkpoint_seconds)
            next_sync = self.step + max(1, int(seconds / self.seconds_per_step())) if self.world.is_rank0 else 0
        stop, lost, due, self.next_sync = self.world.all_reduce_max(
            interrupt.stop_requested(), not interrupt.should_save(), due, next_sync
        )
        if stop:
            # The work is left for another process, or for this one later.
            if not lost:
                self.save()
            raise interrupt.Stopped
        if due:
            self.save()

    def seconds_per_step(self) -> float:
        return (time.monotonic() - self.began) / (self.step - self.first_step)

    def train_step(self, images: Tensor, labels: Tensor) -> None:
        if self.step == self.first_step or not self.network.training:
            self.network.train()  # not at every step: the way through all modules takes as long as many kernels
        self.learning_rate.step_update(self.step)
        targets = labels
        if self.mixup:
            images, targets = self.mixup(images, labels)
        # timm's mixup has smoothed its soft targets already.
        smoothing = 0.0 if self.mixup else self.recipe.label_smoothing
        with autocast(self.run.compute, self.device):
            loss = self.loss(images, targets, smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        # DDP takes the mean over processes, whose shards may differ in size; `fraction` makes it one over images.
        fraction = self.schedule.shard(self.step).fraction
        (loss * (fraction * self.world.size)).backward()
        if self.step == self.first_step:
            self.check_gradients()
        if self.recipe.grad_clip_norm is not None:
            nn.utils.clip_grad_norm_(self.trainable, self.recipe.grad_clip_norm)
        self.optimizer.step()
        self.losses += loss.detach() * fraction
        self.loss_count += 1

    def loss(self, images: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        if self.custom_objective:
            return self.custom_loss(self.custom_objective, images, targets, smoothing)
        logits = self.compiled(images)
        loss = self.run.kind.loss(logits, targets, smoothing)
        if self.run.teacher is not None:
            with torch.no_grad():
                wanted = self.run.teacher(images)
            loss = loss + self.run.kind.distillation_loss(logits, wanted)
        return loss

    def custom_loss(self, network: CustomObjective, images: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        network.sample_step(self.run.streams.generator(self.run.name, "objective", self.step))
        loss = self.compiled(images, targets, smoothing)
        for_each_image, beside = network.step_flops()
        self.custom_flops += 3.0 * (self.schedule.shard(self.step).batch_size * for_each_image + beside)
        return loss

    def check_gradients(self) -> None:
        """Refuses parameters that the loss does not depend on, by name: DDP would wait for their gradients.

        DDP's `find_unused_parameters` would look for them at every step, which costs time that no method here needs.
        """
        if self.world.size > 1 and any(parameter.grad is None for parameter in self.trainable):
            names = [name for name, p in self.network.named_parameters() if p.requires_grad and p.grad is None]
            raise MethodFailure(
                f"{self.run.name}: the loss does not depend on {names[0]}, which is to be trained; "
                f"with several processes it must not require a gradient"
            )

    def end_of_epoch(self) -> None:
        epoch = self.step // self.steps_per_epoch
        last = self.step == self.steps
        if last or (self.run.evaluate is not None and epoch % self.run.evaluate_every == 0):
            self.measure()

    def measure(self) -> None:
        loss = float(self.world.all_reduce_sum(self.losses)) / self.loss_count if self.loss_count else None
        if loss is not None and not np.isfinite(loss):
            raise MethodFailure(f"{self.run.name}: the training loss is {loss} at iteration {self.step}")
        self.world.broadcast(self.network.buffers())
        metrics = None
        if self.run.evaluate:
            measured = self.run.evaluate(self.network)
            metrics, self.result.class_metrics = measured.metrics, measured.by_class
        epoch = round(self.step / self.steps_per_epoch, 3)
        self.result.curve.append(CurvePoint(epoch=epoch, iterations=self.step, loss=loss, metrics=metrics))
        self.losses.zero_()
        self.loss_count = 0
        self.report_progress(force=True)
        self.track()

    def report_progress(self, force: bool = False) -> None:
        now = time.monotonic()
        if self.run.progress is None or not self.world.is_rank0 or (now - self.reported < 0.5 and not force):
            return
        self.reported = now
        started = self.step > self.first_step
        self.run.progress(
            Progress(
                phase=self.run.name,
                step=self.step,
                steps=self.steps,
                epoch=self.step / self.steps_per_epoch,
                epochs=self.steps / self.steps_per_epoch,
                metrics=next((point.metrics for point in reversed(self.result.curve) if point.metrics), {}),
                seconds_left=self.seconds_per_step() * (self.steps - self.step) if started else None,
                time=time.time(),
            )
        )

    def track(self) -> None:
        if self.run.track is not None and self.world.is_rank0:
            curve = self.result.curve
            self.run.track(TrainedCurve(self.run.name, self.recipe, self.steps, self.steps_per_epoch, curve))

    def cost(self) -> Cost:
        images = self.schedule.images_before(self.step)
        run = self.run
        flops = 3.0 * (images * run.forward_flops + self.step * run.step_flops) + images * run.teacher_flops
        return Cost(
            epochs=round(self.step / self.steps_per_epoch, 6),
            iterations=self.step,
            images=images,
            flops=self.custom_flops if self.custom_objective else flops,
            seconds=self.result.cost.seconds + time.monotonic() - self.started,
            parameters=sum(parameter.numel() for parameter in self.trainable) if self.step else 0,
        )

    def save(self) -> None:
        """Writes a checkpoint; the last one, of a finished run, without what only training needs."""
        self.result.cost = self.cost()
        self.started = time.monotonic()
        self.world.all_reduce_sum(self.losses)
        if not self.world.is_rank0:
            self.losses.zero_()
        elif self.run.checkpoint is not None:
            state: dict[str, Any] = {
                "step": self.step,
                "device": self.device.type,
                "processes": self.world.size,
                "network": self.network.state_dict(),
                "cost": self.result.cost.model_dump(),
                "curve": [point.model_dump() for point in self.result.curve],
                "class_metrics": self.result.class_metrics,
            }
            if self.step < self.steps:
                state["training"] = {
                    "optimizer": self.optimizer.state_dict(),
                    "losses": self.losses,
                    "loss_count": self.loss_count,
                    "augmentation": self.augmentation.cpu_generator.get_state(),
                    "noise": self.augmentation.noise.get_state(),
                    "global": torch.get_rng_state(),
                    "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
                    "mixup": self.mixup.state() if self.mixup else None,
                }
            write_checkpoint(self.run.checkpoint, state)
        self.saved = time.monotonic()

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        curve = [CurvePoint(**point) for point in state["curve"]]
        self.result = TrainResult(Cost(**state["cost"]), curve, state.get("class_metrics", {}))
        self.custom_flops = self.result.cost.flops
        if "training" not in state:
            return
        training = state["training"]
        self.optimizer.load_state_dict(training["optimizer"])
        self.loss_count = training["loss_count"]
        if not self.world.is_rank0:  # its generators have begun new streams, see `RngStreams.for_rank`
            return
        self.losses.copy_(training["losses"])
        self.augmentation.cpu_generator.set_state(training["augmentation"])
        self.augmentation.noise.set_state(training["noise"])
        torch.set_rng_state(training["global"])
        if training["cuda"] is not None:
            torch.cuda.set_rng_state(training["cuda"], self.device)
        if self.mixup:
            self.mixup.restore(training["mixup"])
