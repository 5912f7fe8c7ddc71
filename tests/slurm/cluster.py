"""A real SLURM for tests: one node, with accounting, started in a folder of its own without systemd or cgroups.

`python tests/slurm/cluster.py COMMAND...` runs a command (a shell, say) in a fresh one.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import slurm_conf

T = TypeVar("T")

TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel", "sinfo")
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing() -> str | None:
    """Returns the reason why a cluster cannot be started here, or None."""
    if not sys.platform.startswith("linux"):
        return "SLURM's daemons need Linux"
    if not slurm_conf.user():
        return "SLURM's daemons need a user with a name"
    absent = [name for name in DAEMONS + COMMANDS if not shutil.which(name, path=SYSTEM_PATH)]
    if absent or not TABLES.exists():
        return f"no {', '.join(absent) or TABLES} (Debian packages slurm-wlm slurmdbd munge mariadb-server-core)"
    return None


class Cluster:
    """One node named localhost with 2 CPUs and 2 pretended GPUs, partition `main`.

    Use it as a context manager. Whatever it started ends with it, and also when its process is killed (`guard.py`).
    """

    def __init__(self, folder: Path, **settings: str | int) -> None:
        """Takes the cluster's place and settings; entering the context starts it.

        Args:
            folder: where everything is kept, made if need be; its logs outlive the cluster. A short path: it holds
                sockets, whose names may have 107 bytes.
            settings: lines of slurm.conf to add or replace, for example MaxArraySize=4.
        """
        self.folder = folder
        self._settings = settings
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Cluster:
        for name in ("log", "munge", "db/data/mysql", "slurmctld", "slurmd"):
            (self.folder / name).mkdir(parents=True)
        guard = [sys.executable, str(Path(__file__).with_name("guard.py")), str(self.folder)]
        with ExitStack() as ends:
            ends.callback(self._reap)
            # Left, it closes its pipe to the guard, which ends everything, and waits.
            ends.enter_context(subprocess.Popen(guard, stdin=subprocess.PIPE, env={}, start_new_session=True))
            self._start()
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _reap(self) -> None:
        for daemon in self._daemons.values():
            daemon.wait(10)

    # What a test does with it

    def environment(self) -> dict[str, str]:
        """The environment in which SLURM's commands, and submitit, talk to this cluster and to no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}
        return kept | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": SYSTEM_PATH}

    def run(self, *command: str | Path, seconds: float = 30) -> str:
        """Runs a command in this cluster's environment and returns what it prints.

        Raises:
            RuntimeError: if it fails, with what it said.
        """
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise RuntimeError(f"{command} ended with status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def squeue(self) -> dict[str, str]:
        """State of every job that waits or runs, by id; elements of an array one by one: {"7_0": "RUNNING"}."""
        return _table(self.run("squeue", "--noheader", "--array", "--format=%i|%T"))

    def sacct(self, *jobs: str | int) -> dict[str, str]:
        """State of jobs in the accounting, by id, which is updated a moment after the controller knows.

        Elements of an array stand there one by one only when they have been started ("7_[2-5]" has not).
        """
        wanted = ",".join(map(str, jobs))
        return _table(
            self.run("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State", "-j", wanted)
        )

    def wait(self, condition: Callable[[], T], what: str, seconds: float = 60) -> T:
        """The condition's first true value.

        Raises:
            TimeoutError: if it is not true in time; says what was waited for and what the cluster was doing.
        """
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s for {what}; queue: {self.squeue()}; node: {self._node()}")
            time.sleep(0.1)
        return value

    def wait_idle(self, seconds: float = 60) -> None:
        """Waits until no job is left and the node is there for the next."""
        self.wait(lambda: not self.squeue() and self._node() == "idle", "an idle cluster", seconds)

    def cancel_all(self, seconds: float = 60) -> None:
        """Cancels every job, waits until the last process of them has ended, and takes a drained node back."""
        self.run("scancel", f"--user={slurm_conf.user()}")
        if self._node().startswith("drain"):  # slurmctld does that where the old run of a requeued job still lives
            self.run("scontrol", "update", "nodename=localhost", "state=resume")
        self.wait_idle(seconds)

    def kill_slurmd(self) -> None:
        """Cuts the node off, by SIGKILL: its jobs go on, but nobody hears of them. `start_slurmd` brings it back.

        The controller gives the node up about 30 s later, when it next looks after SlurmdTimeout has passed.
        """
        self._daemons["slurmd"].kill()
        self._daemons["slurmd"].wait(10)

    def start_slurmd(self) -> None:
        """Starts the node's daemon if it is not running, without waiting for it."""
        if "slurmd" not in self._daemons or self._daemons["slurmd"].poll() is not None:
            # By name: to look up which node it is takes 10 s where the machine's name does not resolve.
            self._launch("slurmd", "-D", "-N", "localhost")

    def log_tails(self, lines: int = 40) -> dict[str, str]:
        """The last lines of the controller's and the node's log."""
        return {name: _tail(self.folder / "log" / f"{name}.log", lines) for name in ("slurmctld", "slurmd")}

    # How it is started

    def _start(self) -> None:
        self._ports = dict(zip(("slurmctld", "slurmd", "slurmdbd"), _free_ports(3), strict=True))
        slurm_conf.write(self.folder, self._ports, self._settings)
        munge, database = self.folder / "munge", self.folder / "db"
        (munge / "key").touch(mode=0o600)
        (munge / "key").write_bytes(os.urandom(64))
        # Forced, because it wants its socket where every user can reach it, and a test's folder is private.
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "seed", "log")]
        self._launch(
            "munged",
            "--foreground",
            "--force",
            "--num-threads=4",
            "--origin=127.0.0.1",
            f"--socket={munge / 'sock'}",
            *files,
        )

        options = [
            "--no-defaults",
            f"--datadir={database / 'data'}",
            f"--user={slurm_conf.user()}",
            "--innodb-log-file-size=4M",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        # What mariadb-install-db does, which mariadb-server-core lacks a part of.
        with (self.folder / "log/mariadbd-bootstrap.out").open("wb") as output:  # the guard kills who has it open
            subprocess.run(
                ["mariadbd", *options, "--bootstrap"],
                input=b"use mysql;\n" + TABLES.read_bytes(),
                env=self.environment(),
                stdout=subprocess.DEVNULL,
                stderr=output,
                check=True,
                timeout=120,
            )
        reachable = [f"--socket={database / 'sock'}", f"--pid-file={database / 'pid'}", "--skip-networking"]
        self._launch("mariadbd", *options, *reachable, "--skip-grant-tables")
        self._wait_for("munged", (munge / "sock").exists)
        self._wait_for("mariadbd", (database / "sock").exists)
        self._launch("slurmdbd", "-D", MYSQL_UNIX_PORT=str(database / "sock"))
        self._wait_for_port("slurmdbd")
        self._start_slurm()

    def _launch(self, name: str, *options: str, **variables: str) -> None:
        """Starts a daemon in a session of its own, where a Ctrl-C typed at the tests does not reach it."""
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [name, *options],
                env=self.environment() | variables,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _wait_for(self, name: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            ended = self._daemons[name].poll() is not None
            if ended or time.monotonic() > deadline:
                problem = "ended" if ended else f"is not ready after {seconds:g} s"
                raise RuntimeError(f"{name} {problem}:\n{_tail(self.folder / 'log' / f'{name}.out', 20)}")
            time.sleep(0.05)

    def _wait_for_port(self, name: str) -> None:
        def answers() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self._ports[name])) == 0

        self._wait_for(name, answers)

    def _start_slurm(self) -> None:
        self._launch("slurmctld", "-D")
        self._wait_for_port("slurmctld")
        self.start_slurmd()
        self._wait_for("slurmd", lambda: self._node() in ("idle", "mixed", "allocated", "completing"))

    def _node(self) -> str:
        """State of the node as `sinfo` says it: idle, mixed, allocated, completing, down*; empty if none answers."""
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=self.environment(), capture_output=True, text=True, timeout=30
        )
        return done.stdout.strip()


def _table(text: str) -> dict[str, str]:
    """Lines `id|state`, where the state may go on: `CANCELLED by 0`."""
    return {job: state.split()[0] for job, state in (line.split("|") for line in text.splitlines())}


def _tail(file: Path, lines: int) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else "(no log)"


def _free_ports(count: int) -> list[int]:
    """Draws ports below those that the system gives out itself: another cluster that starts now draws others."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            if port not in ports and probe.connect_ex(("127.0.0.1", port)):
                ports.append(port)
    return ports


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-") as scratch, Cluster(Path(scratch)) as cluster:
        sys.exit(subprocess.run(sys.argv[1:] or ["bash"], env=cluster.environment()).returncode)
