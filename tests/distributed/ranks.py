"""Several processes that train together, as torchrun starts them, for tests that are not about torchrun."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from forked import Program
from torch.distributed import TCPStore


def run_ranks(count: int, function: str, *arguments: str) -> list[int]:
    """Runs a function of this folder in as many processes, with the environment that torchrun gives them.

    Returns:
        Their exit statuses. What they print to standard error is printed here.
    """
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    given = {
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "WORLD_SIZE": str(count),
    }
    with ExitStack() as stack:
        programs = [
            stack.enter_context(
                Program(
                    function,
                    *arguments,
                    environment={**os.environ, **given, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    path=[Path(__file__).parent],
                )
            )
            for rank in range(count)
        ]
        for program in programs:
            print(program.communicate()[1])
    return [program.wait() for program in programs]
