"""Several processes that compute one stage together, each with a GPU of its own where there are GPUs.

    world.py           the processes, as one of them sees them
    shard.py           the rows of a batch that a process trains on
    coordination.py    how the processes begin and end a stage together
    launch.py          starting them on this machine; each runs `learngene_bench.execution.rank`

Models are trained by torch's `DistributedDataParallel`. The batch, the learning rates and the order of the images are
those of one process; each process augments its shard of the batch with random numbers of its own (`RngStreams`). So
the result is statistically that of one process, and not the same number: how many processes there are is part of a
stage's address if there are several, and a checkpoint is continued by as many processes as wrote it. Rank 0 alone
writes files.
"""

from learngene_bench.distributed.coordination import Coordination, LostProcess
from learngene_bench.distributed.launch import launch, launch_command
from learngene_bench.distributed.shard import Shard
from learngene_bench.distributed.world import World, join, join_job, world

__all__ = [
    "Coordination",
    "LostProcess",
    "Shard",
    "World",
    "join",
    "join_job",
    "launch",
    "launch_command",
    "world",
]
