"""The moments at which the suite may wait for a GPU, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable

from learngene_bench.conformance.simulated_gpu import Wait

ONCE = "once for a training, before its first step or after its last one"
RARELY = "once for a measurement, which is after all steps of an epoch"
OF_A_METHOD = "once for a gene or a target"
ALLOWED = {
    "DeviceImages.__init__": f"a split is brought to the GPU: {ONCE}",
    "StreamedImages.__init__": f"labels are brought to the GPU: {ONCE}",
    "MaterialisedModel.skeleton": f"buffers of the model are brought to the GPU: {ONCE}",
    "MeteredContext.train": f"the network and the teacher go to the GPU, and the network comes back: {ONCE}",
    "_TrainingLoop._restore": f"what a checkpoint holds is brought to the GPU: {ONCE}",
    "write_checkpoint": "what is saved is read, every `compute.checkpoint_seconds`",
    "_TrainingLoop.measure": f"the mean loss is read: {RARELY}",
    "evaluate": f"the sums of the metrics are read: {RARELY}",
    "_KeptOutputs.gathered.all_of": f"predictions are read: {RARELY}",
    "SplitImages.inputs": f"methods are given training images on the CPU: {OF_A_METHOD}",
    "AncestorStage.compute": f"the ancestor goes to the GPU and comes back: {ONCE}",
    "CellStage.compute": f"the target goes to the GPU and comes back: {ONCE}",
    "_TrainingLoop._distribute": f"processes compare the shapes of their parameters: {ONCE}",
    "Lsuv.initialize": f"the model and the images go to the GPU, and the model comes back: {OF_A_METHOD}",
    "Lsuv._scale": "whether a layer is scaled once more depends on its outputs: a few times for each layer of a target",
    "Subclone.prepare": f"the teacher and the images go to the GPU, teacher and scores come back: {OF_A_METHOD}",
}


def is_allowed(function: str) -> bool:
    """True if there is a reason, whatever this version of Python calls the comprehensions in a function."""
    return re.sub(r"\.<locals>|\.<\w+>", "", function) in ALLOWED


def unexplained(waits: Iterable[Wait]) -> list[Wait]:
    """Finds the waits without a reason; those in the tests of this folder move networks and read results."""
    return [wait for wait in waits if not is_allowed(wait.function) and not wait.file.endswith("_on_gpu.py")]
