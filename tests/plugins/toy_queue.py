"""A toy executor: a queue of shell scripts, one for each stage, as a batch system runs them."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from pydantic import Field

from learngene_bench import Executor, Section
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import JOB_VARIABLE, JobReport, JobStatus, Outcome, RunState, StageInfo, Work
from learngene_bench.schema.constants import DeviceKind


class QueueOptions(Section):
    """Options of the executor `queue`."""

    slots: int = Field(2, ge=1, description="number of scripts that run at the same time")
    exports: dict[str, str] = Field({}, description="environment variable of every script; repeatable")


class QueueExecutor(Executor):
    """Writes a script for each stage and runs a few of them at a time."""

    name = "queue"
    title = "shell scripts on this machine"
    Options = QueueOptions
    options: QueueOptions

    def device_kind(self, compute: Compute) -> DeviceKind:
        return "cpu"

    def run(self, work: Work) -> RunState:
        work.begin()
        state = work.initial_state()
        running: dict[Future[Outcome], str] = {}
        with ThreadPoolExecutor(self.options.slots) as pool:
            while not state.finished:
                for stage in state.ready()[: self.options.slots - len(running)]:
                    state.running.add(stage.address)
                    running[pool.submit(self._run_script, work, stage)] = stage.address
                for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    work.apply(state, running.pop(future), future.result())
                state.block()
                work.watch(state)
        return state

    def _run_script(self, work: Work, stage: StageInfo) -> Outcome:
        script = work.runs / self.name / f"{stage.address}.sh"
        script.parent.mkdir(exist_ok=True)
        variables = {**self.options.exports, JOB_VARIABLE: f"script-{stage.address[:8]}"}
        exports = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        script.write_text("".join(exports) + "exec " + shlex.join(work.command(stage)) + "\n")
        with script.with_suffix(".log").open("a") as log:
            done = subprocess.run(["sh", str(script)], stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ)
        return Outcome.read(done.stdout)

    @classmethod
    def status(cls, runs: Path, unfinished: Collection[str]) -> JobReport:
        jobs = {path.stem: f"script-{path.stem[:8]}" for path in (runs / cls.name).glob("*.sh")}
        return JobReport(job_of=jobs, ended={job: JobStatus(job, "ENDED") for job in jobs.values()})

    @classmethod
    def logs(cls, runs: Path, address: str) -> list[Path]:
        return list((runs / cls.name).glob(f"{address}.log"))
