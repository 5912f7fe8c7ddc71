"""Programs in processes of their own that start at once: they are forked from a process that has imported torch.

A fresh interpreter takes three seconds of a core to import torch and timm. A test that is about a process (its signals,
its terminal, its end), and not about imports, starts the same program as a `Program`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

MAIN = "learngene_bench.cli.main:main"
"""The command line, whose words are the `argv` of a program."""

REQUEST = 1 << 18
"""Largest size of a request in bytes."""


class Program:
    """A function that runs in a process of its own, which leads a session; like a `subprocess.Popen`.

    Attributes:
        stdin, stdout, stderr: pipes, unless `files` are given.
        returncode: exit status, or minus the number of the signal that ended it; None before `wait`.
    """

    def __init__(
        self,
        function: str,
        *arguments: str,
        argv: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        path: Iterable[Path] = (),
        files: tuple[int, int, int] | None = None,
    ) -> None:
        """Starts it.

        Args:
            function: `package.module:name`; an integer that it returns is the exit status.
            environment: by default that of this process.
            folder: the current folder; by default that of this process.
            path: folders that come first on `sys.path`.
            files: file descriptors of its standard streams.
        """
        request = {
            "function": function,
            "arguments": arguments,
            "argv": [function, *argv],
            "environment": dict(environment or os.environ),
            "folder": str(folder or Path.cwd()),
            "path": [str(each) for each in path],
        }
        pipes = [] if files else [os.pipe(), os.pipe(), os.pipe()]
        theirs = [*files] if files else [pipes[0][0], pipes[1][1], pipes[2][1]]
        self._status, status = os.pipe()
        message = json.dumps(request).encode()
        assert len(message) < REQUEST
        socket.send_fds(_template(), [message], [*theirs, status])
        for file in (status, *([] if files else theirs)):
            os.close(file)
        self.returncode: int | None = None
        if pipes:
            self.stdin: IO[str] = open(pipes[0][1], "w")  # noqa: SIM115
            self.stdout: IO[str] = open(pipes[1][0])  # noqa: SIM115
            self.stderr: IO[str] = open(pipes[2][0])  # noqa: SIM115
        self.pid = self._read_number(300)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            self.wait()

    def has_ended(self) -> bool:
        return self.returncode is not None or self._told(0)

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout: float = 300) -> int:
        """Waits for its end and returns the exit status."""
        if self.returncode is None:
            self.returncode = self._read_number(timeout)
            os.close(self._status)
        return self.returncode

    def communicate(self, text: str = "", timeout: float = 300) -> tuple[str, str]:
        """Writes a short text, reads both outputs to their ends and waits; returns them."""
        with suppress(BrokenPipeError):
            self.stdin.write(text)
            self.stdin.close()
        limit, read = time.monotonic() + timeout, {self.stdout: b"", self.stderr: b""}
        with selectors.DefaultSelector() as selector:
            for stream in read:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(limit - time.monotonic())
                assert ready, f"runs for more than {timeout} s: {read}"
                for key, _ in ready:
                    if found := os.read(key.fd, 1 << 16):
                        read[key.fileobj] += found  # type: ignore[index]
                    else:
                        selector.unregister(key.fileobj)
        self.wait()
        output, error = (content.decode() for content in read.values())
        return output, error

    def _read_number(self, timeout: float) -> int:
        assert self._told(timeout), f"runs for more than {timeout} s"
        digits = b""
        while not digits.endswith(b"\n"):
            digits += os.read(self._status, 1)
        return int(digits)

    def _told(self, timeout: float) -> bool:
        return bool(select.select([self._status], [], [], timeout)[0])


def run(function: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a function to its end, as `subprocess.run` does."""
    with Program(function, *arguments, **options) as program:
        output, error = program.communicate()
    return subprocess.CompletedProcess(arguments, program.wait(), output, error)


@cache
def _template() -> socket.socket:
    """Starts the process that all programs of this one are forked from; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Forks until the process that asks for it has ended; returns the request in each new process only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a terminal sends it to all; programs have their own handler
    while True:
        message, files, _, _ = socket.recv_fds(connection, REQUEST, 4)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not message:
            os._exit(0)
        if os.fork() == 0:
            connection.close()
            _become_program(files)
            return json.loads(message)  # type: ignore[no-any-return]
        for file in files:
            os.close(file)


def _become_program(files: list[int]) -> None:
    """Forks once more and returns in the new process; the one between tells its number and its exit status."""
    *standard, status = files
    if pid := os.fork():
        for file in standard:
            os.close(file)
        os.write(status, b"%d\n" % pid)
        _, ended = os.waitpid(pid, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os._exit(0)
    os.close(status)
    os.setsid()
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(request: dict[str, Any]) -> None:
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = request["path"]
    sys.argv = request["argv"]
    module, _, name = request["function"].partition(":")
    try:
        returned = getattr(importlib.import_module(module), name)(*request["arguments"])
    except SystemExit as end:
        returned = end.code
    except BaseException:
        traceback.print_exc()
        returned = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(returned if isinstance(returned, int) else 0)  # to tear torch down takes a second more


if __name__ == "__main__":
    # Not the command line, which reads the entry points of executors when it is imported.
    for heavy in ("torch._dynamo", "timm.data", "pandas", "rich.console", "typer", "learngene_bench.execution.stages"):
        importlib.import_module(heavy)
    gc.collect()
    gc.freeze()
    _run(_serve(socket.socket(fileno=int(sys.argv[1]))))
