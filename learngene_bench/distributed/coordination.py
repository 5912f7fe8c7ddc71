"""How the processes that compute a stage together agree on its beginning and its end.

Rank 0 leads: it alone claims the stage and writes its files. The others compute along, and learn what it decides from
a key-value store, which works even when a collective does not come to its end any more:

    begin         "go", or "over" if there is nothing to compute
    error         the first failure of all: the other processes fail because of it, or in the same way
    ended/RANK    this process is through, one way or the other
    end           how the stage ended: done, failed, busy, stopped, refused or died
    heard/RANK    this process knows how it ended

A failure is recorded if every process came to an end, and then the first one: in a method's code all processes fail
alike, and where one fails alone, what the others meet is only that it is gone. A process that never says that it ended
was killed or hangs, which is no failure of the method; then `LostProcess` is raised.
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
"""Seconds that rank 0 waits for the others to hear how a stage ended: with it, the store may be gone."""

Result = TypeVar("Result")


class LostProcess(Exception):
    """A process of several was killed, hangs, or failed alone; nothing is recorded, and all of them end."""


class Agreement:
    """The beginning and the end of one stage; every process makes one for every stage.

    Where there is one process, all of this does nothing.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.alone = world.size == 1
        self.store: Any = None if self.alone else world.next_store()
        self.begun = False

    @contextmanager
    def leading(self) -> Iterator[None]:
        """What rank 0 does between asking for the stage and its end: the others hear of an error in it."""
        try:
            yield
        except UserError as error:
            self.conclude("refused", str(error))
            raise
        except BaseException as error:
            self.conclude("died", str(error) or type(error).__name__)
            raise
        finally:
            if not self.alone:
                self.world.end_group()

    def lead(self, work: Callable[[], Result]) -> Result:
        """Rank 0's part in the work of all.

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
            all_ended = self._wait(self._all("ended"), GRACE, interrupt.asked)
            first = json.loads(self.store.get("error"))
            place = f"process {first['rank']} of {self.world.size}"
            if not all_ended and not first["user"]:
                raise LostProcess(f"a process ended without a word, or hangs; {place}: {first['line']}") from error
            if first["rank"] == self.world.rank or first["line"] == one_line(error):
                raise
            if first["user"]:
                raise UserError(f"{place}: {first['line']}") from None
            failure = MethodFailure(f"{first['line']} ({place})")
            failure.add_note(first["traceback"])
            raise failure from None

    def conclude(self, state: str, error: str = "") -> str:
        """Tells the others how the stage ended, and waits until they know. Returns `state`."""
        if self.alone:
            return state
        with suppress(Exception):  # where the store is gone, so are the others, or they end for want of it
            if not self.begun:
                self._begin("over")
            self.store.set("end", json.dumps({"state": state, "error": error}))
            if state != "died":
                self._wait(self._all("heard"), LAST_WORD)
        return state

    def follow(self, work: Callable[[], object]) -> str:
        """The part of a process that does not lead: works along, and returns how the stage ended.

        Raises:
            LostProcess: rank 0 or another process is gone.
            UserError: what rank 0 raises.
        """
        own: Exception | None = None
        if self._hear("begin", None) == "go":
            try:
                self.world.form_group(self.store)
                work()
            except Stopped:
                pass
            except Exception as error:
                own = error
                self._report(error)
            self._say("ended")
        try:
            end = json.loads(self._hear("end", own))
            self._say("heard")
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

    def _say(self, key: str) -> None:
        self.store.set(f"{key}/{self.world.rank}", "yes")

    def _hear(self, key: str, own_error: Exception | None) -> str:
        """What rank 0 says; it has little time to where this process failed and it did not, so far."""
        if own_error is None:
            heard = self._wait([key], TIMEOUT.total_seconds())
        else:
            heard = self._wait([key], GRACE, interrupt.asked)
        if not heard:
            about = one_line(own_error) if own_error else "waited for it"
            raise LostProcess(f"process 0 is gone, or hangs; process {self.world.rank} of {self.world.size}: {about}")
        return self.store.get(key).decode()

    def _all(self, key: str) -> list[str]:
        return [f"{key}/{rank}" for rank in range(1, self.world.size)]

    def _wait(self, keys: list[str], seconds: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Whether all of these are said in time.

        Args:
            give_up: after a failure, whether this process was asked to stop: a launcher that has seen a process die
                ends the others.
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
        """Tells of this process's failure, before any other can fail because of it, and frees those that wait."""
        traceback.print_exception(error)
        report = {
            "rank": self.world.rank,
            "user": isinstance(error, UserError),
            "line": one_line(error),
            "traceback": "".join(traceback.format_exception(error)),
        }
        with suppress(Exception):
            self.store.compare_set("error", "", json.dumps(report))
        _forget_locals(error)
        self.world.end_group(broken=True)


def _forget_locals(error: BaseException | None) -> None:
    """Lets go of the network that was trained, which holds on to the process group: gloo's ends with the last one."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
