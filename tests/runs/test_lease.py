"""Lease of a stage: one process at a time, whichever process dies, on any machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learngene_bench.runs import lease
from learngene_bench.runs.lease import acquire, current_lease
from learngene_bench.util import interrupt
from learngene_bench.util.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from learngene_bench.runs.lease import acquire
with acquire(Path(sys.argv[1])) as held:
    print(held, flush=True)
    if held:
        time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> bool:
    assert process.stdout
    return process.stdout.readline().strip() == "True"


@pytest.fixture(autouse=True)
def no_request_left() -> Iterator[None]:
    yield
    interrupt.reset()


def elsewhere(folder: Path, age: float, number: int = 1) -> Path:
    """A lease of a process that this machine cannot see, whose last heartbeat is `age` seconds old."""
    path = folder / f"owner-{number:06}.json"
    owner = {"host": "node17", "pid_namespace": "of another machine", "pid": 4242, "start_ticks": "1"}
    path.write_text(json.dumps({**owner, "job": "12_3", "released": False}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_one_of_many_gets_it_and_a_dead_one_loses_it_at_once(tmp_path: Path) -> None:
    dead = holder(tmp_path)
    assert answer(dead)
    os.kill(dead.pid, signal.SIGKILL)  # not yet collected: a zombie is dead too
    many = [holder(tmp_path) for _ in range(8)]
    got = [process for process in many if answer(process)]
    try:
        assert len(got) == 1
        last = current_lease(tmp_path)
        assert last
        assert last.is_held()
        assert (last.number, last.owner and last.owner.pid) == (2, got[0].pid)
        assert [path.name for path in tmp_path.iterdir()] == ["owner-000002.json"]
    finally:
        for process in [dead, *many]:
            process.kill()
            process.wait()


def test_another_machine_is_believed_while_there_are_heartbeats(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=0.5 * lease.STALE_SECONDS)
    with acquire(tmp_path) as held:
        assert not held
    elsewhere(tmp_path, age=1.5 * lease.STALE_SECONDS)
    with acquire(tmp_path) as held:
        assert held
        with acquire(tmp_path) as again:
            assert not again


def test_a_heartbeat_from_the_future_is_believed_as_long_as_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim dated in the year 2100, from a wrong clock or from somebody else, blocks nobody until then."""
    elsewhere(tmp_path, age=-(2.3e9))
    with acquire(tmp_path) as held:
        assert not held
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.2)
    time.sleep(0.3)
    elsewhere(tmp_path, age=-(2.3e9) - 1)  # it has a heartbeat
    with acquire(tmp_path) as held:
        assert not held
    time.sleep(0.3)
    with acquire(tmp_path) as held:
        assert held


def test_a_suspended_owner_is_named_with_how_to_end_it(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        assert answer(process)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        found = current_lease(tmp_path)
        assert found
        assert found.is_held()
        assert found.words.startswith(f"process {process.pid} on {platform.node()}, since {time.strftime('%Y-')}")
        assert found.words.endswith(", suspended")
        assert found.remedy == f"kill -9 {process.pid} ends it"
    finally:
        process.kill()
        process.wait()


def test_an_owner_elsewhere_that_is_silent_is_named(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=0.9 * lease.STALE_SECONDS)
    found = current_lease(tmp_path)
    assert found
    assert found.words == "process 4242 on node17, job 12_3, without a sign of life for 2 min"
    assert found.remedy == "lgbench cancel ends its job 12_3"


@pytest.mark.parametrize(
    "content",
    [
        b'{"host": "h", "pid_namespace": "", "pid": "../../etc/passwd", "start_ticks": ""}',
        b'{"host": "h", "pid_namespace": "", "pid": 1e400, "start_ticks": ""}',
        b'{"host": ["h"], "pid_namespace": {}, "pid": true, "start_ticks": null, "released": 3}',
        b"[" * 100_000,
        b"9" * 10_000,
        b"null",
        b"\xff\xfe",
        None,
    ],
)
def test_any_content_of_its_file_is_a_claim_that_ends(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "owner-000001.json"
    path.write_bytes(content) if content is not None else os.mkfifo(path)
    (tmp_path / "owner-last.json").write_text("no number")
    with acquire(tmp_path) as held:
        assert not held
    if content is not None:
        os.utime(path, (1, 1))
        with acquire(tmp_path) as held:
            assert held


def test_a_lease_that_cannot_be_read_is_old_or_young_like_others(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=0).write_text("{")
    with acquire(tmp_path) as held:
        assert not held
    os.utime(tmp_path / "owner-000001.json", (1, 1))
    with acquire(tmp_path) as held:
        assert held


def test_who_lost_it_stops_and_leaves_the_new_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.01)
    with acquire(tmp_path) as held:
        assert held
        other = elsewhere(tmp_path, age=0, number=2)  # took it over while this machine was cut off
        (heartbeat,) = (thread for thread in threading.enumerate() if thread.name == "heartbeat")
        heartbeat.join(20)
        assert interrupt.stop_requested()
        assert not interrupt.should_save()
    assert json.loads(other.read_text())["released"] is False


def test_who_was_too_slow_to_take_it_does_not_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at a dead owner and its own claim, one takes the lease and lets it go, another has it."""
    dead = elsewhere(tmp_path, age=1000)

    def slowly(folder: Path) -> lease.Lease | None:
        found = current_lease(folder)
        dead.unlink()
        elsewhere(folder, age=0, number=3)
        return found

    monkeypatch.setattr(lease, "current_lease", slowly)
    with acquire(tmp_path) as held:
        assert not held
    assert [path.name for path in tmp_path.iterdir()] == ["owner-000003.json"]


def test_a_full_disk_leaves_no_claim(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # a file can be made, and nothing be written to it
    try:
        with pytest.raises(UserError, match=r"owner-000001.json: cannot be written: "), acquire(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_the_heartbeat_keeps_the_file_young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.01)
    with acquire(tmp_path):
        path = tmp_path / "owner-000001.json"
        os.utime(path, (1, 1))
        limit = time.monotonic() + 20
        while path.stat().st_mtime < 2:
            assert time.monotonic() < limit
            time.sleep(0.01)


def test_released_it_is_free_and_done_it_leaves_nothing(tmp_path: Path) -> None:
    with acquire(tmp_path) as held:
        assert held
    last = current_lease(tmp_path)
    assert last
    assert not last.is_held()
    with acquire(tmp_path) as held:
        assert held
        (tmp_path / "result.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
