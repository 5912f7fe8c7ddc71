"""The beginning and the end of a stage that several processes compute together.

torch's collectives average gradients, and torchrun ends all processes when one of them dies. What neither does: only
rank 0 takes the lease and writes files, a method's failure in any process is recorded with its traceback, and the same
processes go on with the next stage of a job. For these the processes talk through torch's key-value store, which also
works when a collective cannot come to its end:

    begin         "go", or "over" if there is nothing to compute
    error         the first failure; the other processes fail because of it, or in the same way
    ended/RANK    this process has ended its work, with or without a failure
    end           how the stage ended: done, failed, busy, stopped, refused or died
    heard/RANK    this process has read `end`

A failure is recorded if every process ended. A process that does not say so was killed or hangs, which is no failure
of the method: then `LostProcess` is raised, nothing is recorded, and the stage continues from its checkpoint later.
"""

from __future__ import annotations

import gc
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from learngene_bench.distributed.world import TIMEOUT, World
from learngene_bench.util import interrupt
from learngene_bench.util.errors import MethodFailure, UserError, one_line
from learngene_bench.util.interrupt import Stopped

GRACE = 60.0
"""Seconds after a failure that a process waits for the others to end as well."""
LAST_WORD = 10.0
"""Seconds that rank 0 waits for the others to read how a stage ended: the store may end with it."""

Result = TypeVar("Result")


class LostProcess(Exception):
    """One of several processes was killed, hangs, or failed alone. Nothing is recorded, and all processes end."""


class Coordination:
    """The beginning and the end of one stage. Every process makes one for every stage; it does nothing for one process.

    Attributes:
        world: this process among those that compute the stage.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.alone = world.size == 1
        self.store: Any = None if self.alone else world.next_store()
        self.begun = False

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Tells the others of errors that rank 0 meets between taking the lease and the end of the stage."""
        try:
            yield
        except UserError as error:
            self.finish("refused", str(error))
            raise
        except BaseException as error:
            self.finish("died", str(error) or type(error).__name__)
            raise
        finally:
            if not self.alone:
                self.world.end_group()

    def run_on_rank0(self, work: Callable[[], Result]) -> Result:
        """Does rank 0's part of the work.

        Raises:
            LostProcess: not every process came to an end.
            UserError, MethodFailure: the first failure, if it was another process's.
        """
        if self.alone:
            return work()
        try:
            self._begin("go")
            self.world.form_group(self.store)
            return work()
        except Exception as error:
            self._report(error)
            all_ended = self._wait(self._others("ended"), GRACE, interrupt.stop_requested)
            first = json.loads(self.store.get("error"))
            place = f"process {first['rank']} of {self.world.size}"
            if not all_ended and not first["user"]:
                raise LostProcess(f"a process was killed, or hangs; {place}: {first['line']}") from error
            if first["rank"] == self.world.rank or first["line"] == one_line(error):
                raise
            if first["user"]:
                raise UserError(f"{place}: {first['line']}") from None
            failure = MethodFailure(f"{first['line']} ({place})")
            failure.add_note(first["traceback"])
            raise failure from None

    def finish(self, state: str, error: str = "") -> str:
        """Tells the others how the stage ended, and waits until they know. Returns `state`."""
        if self.alone:
            return state
        with suppress(Exception):  # without the store the others are gone, or end for want of it
            if not self.begun:
                self._begin("over")
            self.store.set("end", json.dumps({"state": state, "error": error}))
            if state != "died":
                self._wait(self._others("heard"), LAST_WORD)
        return state

    def run_on_others(self, work: Callable[[], object]) -> str:
        """Does another rank's part of the work. Returns how the stage ended.

        Raises:
            LostProcess: rank 0 or another process is gone.
            UserError: rank 0 raised it.
        """
        failure: Exception | None = None
        if self._await("begin") == "go":
            try:
                self.world.form_group(self.store)
                work()
            except Stopped:
                pass
            except Exception as error:
                failure = error
                self._report(error)
            self._post("ended")
        try:
            end = json.loads(self._await("end", failure))
            self._post("heard")
        finally:
            self.world.end_group()
        if end["state"] == "refused":
            raise UserError(end["error"])
        if end["state"] == "died":
            raise LostProcess(end["error"])
        return end["state"]

    def _begin(self, word: str) -> None:
        self.begun = True
        self.store.set("begin", word)

    def _post(self, key: str) -> None:
        self.store.set(f"{key}/{self.world.rank}", "yes")

    def _await(self, key: str, failure: Exception | None = None) -> str:
        """Returns what rank 0 posts. Waits only briefly after a failure of this process."""
        if failure is None:
            posted = self._wait([key], TIMEOUT.total_seconds())
        else:
            posted = self._wait([key], GRACE, interrupt.stop_requested)
        if not posted:
            line = one_line(failure) if failure else "waited for it"
            raise LostProcess(f"process 0 was killed, or hangs; process {self.world.rank} of {self.world.size}: {line}")
        return self.store.get(key).decode()

    def _others(self, key: str) -> list[str]:
        return [f"{key}/{rank}" for rank in range(1, self.world.size)]

    def _wait(self, keys: list[str], seconds: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Returns True once all keys are posted, False when time is up.

        Args:
            give_up: checked while waiting. After a failure it is `interrupt.stop_requested`: torchrun has seen a
                process die and ends the others.
        """
        limit = time.monotonic() + seconds
        with suppress(Exception):  # the store is gone with its host
            while not self.store.check(keys):
                if time.monotonic() > limit or give_up():
                    return False
                time.sleep(0.02)
            return True
        return False

    def _report(self, error: Exception) -> None:
        """Posts this process's failure before any other can fail because of it, and frees those that wait for it."""
        traceback.print_exception(error)
        report = {
            "rank": self.world.rank,
            "user": isinstance(error, UserError),
            "line": one_line(error),
            "traceback": "".join(traceback.format_exception(error)),
        }
        with suppress(Exception):
            self.store.compare_set("error", "", json.dumps(report))
        _clear_frames(error)
        self.world.end_group(broken=True)


def _clear_frames(error: BaseException | None) -> None:
    """Drops the trained network, which holds on to the process group: gloo's ends with its last reference."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
