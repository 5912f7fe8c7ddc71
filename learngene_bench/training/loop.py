"""The one training loop: ancestors, condensations, scalers and targets are all trained here.

The loop never waits for the device inside an epoch, and everything that is random in it comes from a stream of its
own, so that a run which is killed and continues from its checkpoint ends, on a CPU, with the same bits as one that
was never killed.

Several processes that compute a stage together (`distributed`) each call `train`, and share out every batch; what is
written and kept is the same as with one.
"""

from __future__ import annotations

import inspect
import io
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from learngene_bench import distributed
from learngene_bench.config.recipe import Recipe
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.dataloader import lost_loader_explained
from learngene_bench.data.mixup import RepeatableMixup
from learngene_bench.data.sampler import Batch, Draws, Order
from learngene_bench.distributed import Part
from learngene_bench.distributed.layers import whole_batch
from learngene_bench.training.custom_objective import OwnObjective
from learngene_bench.training.evaluation import autocast
from learngene_bench.training.run import Cost, Phase, Trained
from learngene_bench.util import interrupt
from learngene_bench.util.errors import DamagedFile, MethodFailure
from learngene_bench.util.files import write_bytes

LOOK = 1.0
"""Seconds of training between two moments when several processes agree whether to stop or to save."""


def train(network: nn.Module, data: SplitImages, recipe: Recipe, phase: Phase) -> Trained:
    """Trains the parameters of `network` that require gradients, in place.

    Args:
        network: images (B, C, H, W) to logits (B, classes); an `OwnObjective` gives its loss itself.

    Raises:
        MethodFailure: the loss is not finite.
        UserError: the batch is too small to be shared out; an image does not decode.
    """
    run = _Run(network, data, recipe, phase)
    # Drop path draws from torch's global stream: fork it, so that nobody else's numbers change.
    cuda = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(cuda), whole_batch(network, lambda: run.part, run.world), lost_loader_explained():
        torch.manual_seed(phase.streams.seed_for(phase.name, "drop path"))
        run.restore()
        run.loop()
    return run.trained


class _Run:
    """The state of one training: what a checkpoint holds."""

    def __init__(self, network: nn.Module, data: SplitImages, recipe: Recipe, phase: Phase) -> None:
        self.network, self.data, self.recipe, self.phase = network, data, recipe, phase
        self.own = network if isinstance(network, OwnObjective) else None
        if self.own and phase.teacher is not None:
            raise TypeError(f"{phase.name}: a network with an objective of its own cannot be distilled")
        self.world = distributed.world()
        self.order = Order(len(data), recipe, phase.streams, phase.name, self.world)
        self.steps, self.steps_per_epoch = self.order.steps, self.order.steps_per_epoch
        self.device = data.device
        self.trainable = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = create_optimizer_v2(
            network, opt="adamw", lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        warmup = min(round(recipe.warmup_epochs * self.steps_per_epoch), self.steps)
        self.schedule = CosineLRScheduler(
            self.optimizer,
            t_initial=max(1, self.steps),
            lr_min=min(recipe.minimum_learning_rate, recipe.learning_rate),
            warmup_t=warmup,
            warmup_lr_init=recipe.warmup_learning_rate if warmup else 0.0,
            t_in_epochs=False,
        )
        self.draws = Draws.of(phase.streams, phase.name, self.device.type)
        self.mixup = self._mixup()
        parallel = self._shared_out(network)
        compiled = phase.compute.compile and self.own is None
        self.compiled: nn.Module = torch.compile(parallel) if compiled else parallel  # type: ignore[assignment]
        self.step = self.next_look = 0
        self.losses = torch.zeros((), device=self.device)
        self.loss_count = 0
        self.own_flops = 0.0
        self.trained = Trained()
        self.first_step = 0
        self.began = self.started = self.reported = self.saved = time.monotonic()

    def _mixup(self) -> RepeatableMixup | None:
        if not (self.recipe.mixup or self.recipe.cutmix):
            return None
        return RepeatableMixup(self.recipe, self.phase.classes, self.phase.streams.seed_for(self.phase.name, "mixup"))

    def _shared_out(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over all processes, and whose weights are those of rank 0."""
        if self.world.size == 1 or not self.steps:
            return network
        # Each process updates its buffers by the whole batch's statistics itself. torch 2.15 renamed the option.
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        return DistributedDataParallel(
            network,
            **{"forward_sync_buffers" if renamed else "broadcast_buffers": False},  # type: ignore[arg-type]
        )

    def loop(self) -> None:
        if self.step == 0 and self.phase.measure_start and not self.trained.curve:
            self.measure()
        with closing(self.data.batches(self.batches_to_come(), self.draws)) as batches:
            for images, labels in batches:
                self.one_step(images, labels)
                self.step += 1
                if self.step % self.steps_per_epoch == 0 or self.step == self.steps:
                    self.end_of_epoch()
                self.tell()
                if self.step >= self.next_look:
                    self.look()
        self.network.eval()
        self.save()

    def batches_to_come(self) -> Iterator[Batch]:
        """From the current step to the last one, over the ends of epochs: what is loaded ahead need not stop there."""
        return map(self.order.batch, range(self.step, self.steps))

    @property
    def part(self) -> Part:
        """This process's images of the current step's batch."""
        return self.order.part(self.step)

    def look(self) -> None:
        """Stops if that is asked for, saves if it is time: all processes after the same step, which rank 0 decides."""
        due, next_look = 0, self.step + 1
        if self.world.leads:
            due = int(time.monotonic() - self.saved > self.phase.compute.checkpoint_seconds)
        if self.world.size > 1:  # agreeing is a wait for all of them
            seconds = min(LOOK, self.phase.compute.checkpoint_seconds)
            next_look = self.step + max(1, int(seconds / self.seconds_per_step())) if self.world.leads else 0
        asked, lost, due, self.next_look = self.world.largest(interrupt.asked(), not interrupt.keeps(), due, next_look)
        if asked:
            # The work is left for another process, or for this one later.
            if not lost:
                self.save()
            raise interrupt.Stopped
        if due:
            self.save()

    def seconds_per_step(self) -> float:
        return (time.monotonic() - self.began) / (self.step - self.first_step)

    def one_step(self, images: Tensor, labels: Tensor) -> None:
        self.network.train()
        self.schedule.step_update(self.step)
        targets = labels
        if self.mixup:
            images, targets = self.mixup(images, labels)
        # timm's mixup has smoothed its soft targets already.
        smoothing = 0.0 if self.mixup else self.recipe.label_smoothing
        with autocast(self.phase.compute, self.device):
            loss = self.own_loss(images, targets, smoothing) if self.own else self.loss(images, targets, smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        # A mean over the own images, and gradients are averaged over processes that may have fewer or more of them.
        (loss * (self.part.share * self.world.size)).backward()
        if self.step == self.first_step:
            self.check_gradients()
        if self.recipe.grad_clip_norm is not None:
            nn.utils.clip_grad_norm_(self.trainable, self.recipe.grad_clip_norm)
        self.optimizer.step()
        self.losses += loss.detach() * self.part.share
        self.loss_count += 1

    def loss(self, images: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        logits = self.compiled(images)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        if self.phase.teacher is not None:
            with torch.no_grad():
                wanted = self.phase.teacher(images)
            loss = loss + distillation_loss(logits, wanted)
        return loss

    def own_loss(self, images: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        assert self.own is not None
        self.own.draw(self.phase.streams.generator(self.phase.name, "objective", self.step))
        loss = self.compiled(images, targets, smoothing)
        for_each_image, beside = self.own.step_operations()
        self.own_flops += 3.0 * (self.part.drawn * for_each_image + beside)
        return loss

    def check_gradients(self) -> None:
        """A parameter that the loss does not depend on would leave its neighbours' gradients unaveraged.

        Looking for such parameters at every step, as `find_unused_parameters` does, costs time that no method of the
        suite needs.
        """
        if self.world.size > 1 and any(parameter.grad is None for parameter in self.trainable):
            names = [name for name, p in self.network.named_parameters() if p.requires_grad and p.grad is None]
            raise MethodFailure(
                f"{self.phase.name}: the loss does not depend on {names[0]}, which is to be trained; "
                f"with several processes it must not require a gradient"
            )

    def end_of_epoch(self) -> None:
        epoch = self.step // self.steps_per_epoch
        last = self.step == self.steps
        if last or (self.phase.evaluate is not None and epoch % self.phase.evaluate_every == 0):
            self.measure()

    def measure(self) -> None:
        loss = float(self.world.sum_(self.losses)) / self.loss_count if self.loss_count else None
        if loss is not None and not np.isfinite(loss):
            raise MethodFailure(f"{self.phase.name}: the training loss is {loss} at iteration {self.step}")
        top1 = self.phase.evaluate(self.network) if self.phase.evaluate else None
        epoch = round(self.step / self.steps_per_epoch, 3)
        self.trained.curve.append({"epoch": epoch, "iterations": self.step, "loss": loss, "top1": top1})
        self.losses.zero_()
        self.loss_count = 0
        self.tell(force=True)

    def tell(self, force: bool = False) -> None:
        now = time.monotonic()
        if self.phase.progress is None or not self.world.leads or (now - self.reported < 0.5 and not force):
            return
        self.reported = now
        top1 = next((entry["top1"] for entry in reversed(self.trained.curve) if entry["top1"] is not None), None)
        per_epoch = self.steps_per_epoch
        left = self.seconds_per_step() * (self.steps - self.step) if self.step > self.first_step else None
        self.phase.progress(
            self.phase.name, self.step, self.steps, self.step / per_epoch, self.steps / per_epoch, top1, left
        )

    def cost(self) -> Cost:
        images = self.order.images_before(self.step)
        phase = self.phase
        flops = 3.0 * (images * phase.forward_flops + self.step * phase.step_flops) + images * phase.teacher_flops
        return Cost(
            epochs=round(self.step / self.steps_per_epoch, 6),
            iterations=self.step,
            images=images,
            flops=self.own_flops if self.own else flops,
            seconds=self.trained.cost.seconds + time.monotonic() - self.started,
        )

    def save(self) -> None:
        """Writes a checkpoint; the last one, of a finished phase, without what only training needs."""
        self.trained.cost = self.cost()
        self.started = time.monotonic()
        self.world.sum_(self.losses)
        if not self.world.leads:
            self.losses.zero_()
        elif self.phase.checkpoint is not None:
            state: dict[str, Any] = {
                "step": self.step,
                "device": self.device.type,
                "network": self.network.state_dict(),
                "cost": asdict(self.trained.cost),
                "curve": self.trained.curve,
            }
            if self.step < self.steps:
                state["training"] = {
                    "optimizer": self.optimizer.state_dict(),
                    "losses": self.losses,
                    "loss_count": self.loss_count,
                    "small_draws": self.draws.small.get_state(),
                    "noise": self.draws.noise.get_state(),
                    "global": torch.get_rng_state(),
                    "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
                    "mixup": self.mixup.state() if self.mixup else None,
                }
            content = io.BytesIO()
            torch.save(state, content)
            write_bytes(self.phase.checkpoint, content.getvalue())
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Continues from the checkpoint if there is one."""
        path = self.phase.checkpoint
        if path is None:
            return
        try:
            own = path.read_bytes() if self.world.leads and path.exists() else None
        except OSError as error:
            raise DamagedFile(f"{path}: cannot be read: {error.strerror}") from error
        content = self.world.from_lead(own)  # one reads: on a network file system the others may not see it yet
        if content is None:
            return
        try:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:
            raise DamagedFile(f"{path}: damaged checkpoint; delete its folder and run again") from error
        if state["device"] != self.device.type and "training" in state:
            return  # random numbers of another kind of device: start afresh
        self.step = self.first_step = state["step"]
        self.network.load_state_dict(state["network"])
        self.trained = Trained(Cost(**state["cost"]), state["curve"])
        self.own_flops = self.trained.cost.flops
        if "training" in state:
            training = state["training"]
            self.optimizer.load_state_dict(training["optimizer"])
            if self.world.leads:
                self.losses.copy_(training["losses"])
            self.loss_count = training["loss_count"]
            self.draws.small.set_state(training["small_draws"])
            self.draws.noise.set_state(training["noise"])
            torch.set_rng_state(training["global"])
            if training["cuda"] is not None:
                torch.cuda.set_rng_state(training["cuda"], self.device)
            if self.mixup:
                self.mixup.restore(training["mixup"])


def distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of logits (B, classes) at temperature 1, averaged over the batch (Eq. 6).

    TELG's released loss divides by batch times classes (`losses.py`), which would make this term 1000 times smaller
    than the cross entropy on ImageNet; averaging over the batch is a choice of this suite.
    """
    return F.kl_div(
        F.log_softmax(student.float(), -1), F.log_softmax(teacher.float(), -1), reduction="batchmean", log_target=True
    )
