"""Several processes that compute one stage together, each with a GPU of its own where there are GPUs.

    part.py        which images of a batch a process works on
    world.py       the processes, as one of them sees them
    layers.py      layers that need the whole batch: batch norm, drop path
    agreement.py   how the processes agree on the beginning and the end of a stage
    launch.py      starting them on this machine
    __main__.py    the program that each of them runs

The result is that of one process, up to the order of floating-point sums: the batch is the same batch and is shared
out, every random number is drawn for the whole batch by all, gradients and statistics are averaged over all, and
rank 0 alone writes. So the number of processes is no part of a stage's address, and a checkpoint of two processes is
continued by one or by four.

Only layers.py imports torch before anything is computed.
"""

from learngene_bench.distributed.coordination import Agreement, LostProcess
from learngene_bench.distributed.launch import launch, launch_command
from learngene_bench.distributed.shard import Part
from learngene_bench.distributed.world import World, join, join_job, world

__all__ = [
    "Agreement",
    "LostProcess",
    "Part",
    "World",
    "join",
    "join_job",
    "launch",
    "launch_command",
    "world",
]
