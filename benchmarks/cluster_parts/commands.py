"""SLURM's commands as programs that lgbench calls, and the files by which they talk with the simulation.

    bin/sbatch, squeue, sacct, sinfo, scontrol, srun    one program under all these names
    site.json          limits of the site, and how many jobs the queue holds
    queue.txt          what squeue prints
    history.txt        what sacct prints, of all jobs
    submitted.jsonl    an object for each array that sbatch took
    calls.txt          a line for each call

sbatch refuses what SLURM refuses: an array of more jobs than MaxArraySize, and more jobs in the queue than
MaxSubmitJobs.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("sbatch", "squeue", "sacct", "sinfo", "scontrol", "srun")

PROGRAM = """#!{python} -IS
import json, os, re, sys

folder, name = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0]))), os.path.basename(sys.argv[0])

def content(file):
    with open(os.path.join(folder, file)) as stream:
        return stream.read()

def add(file, text):
    with open(os.path.join(folder, file), "a") as stream:
        stream.write(text)

def refuse(*words):
    sys.stderr.write("".join(f"sbatch: error: {{word}}\\n" for word in words))
    sys.exit(1)

add("calls.txt", name + "\\n")
site = json.loads(content("site.json"))
if name == "sinfo":
    print("gpu*|" + site["longest"])
elif name == "scontrol":
    print("MaxArraySize            =", site["array_size"])
elif name == "squeue":
    sys.stdout.write(content("queue.txt"))
elif name == "sacct":
    wanted = set(sys.argv[-1].split(","))
    lines = content("history.txt").splitlines(keepends=True)
    sys.stdout.writelines(line for line in lines if line.partition("_")[0].partition("|")[0] in wanted)
else:
    options = dict(re.findall("^#SBATCH --([a-z-]+)=(.*)$", content(os.path.abspath(sys.argv[-1])), re.MULTILINE))
    jobs, _, parallel = options.get("array", "0-0%1").removeprefix("0-").partition("%")
    jobs, after = int(jobs) + 1, options.get("dependency", "")
    if jobs > site["array_size"]:
        refuse("Batch job submission failed: Invalid job array specification")
    if site["most_submitted"] and site["queued"] + jobs > site["most_submitted"]:
        refuse("AssocMaxSubmitJobLimit", "Batch job submission failed: Job violates accounting/QOS policy "
               "(job submit limit, user's size and/or time limits)")
    site["last"] += 1
    site["queued"] += jobs
    with open(os.path.join(folder, "site.json"), "w") as stream:
        json.dump(site, stream)
    one, number = "array" not in options, site["last"]
    add("submitted.jsonl", json.dumps({{"id": number, "jobs": jobs, "parallel": int(parallel), "one": one,
                                       "after": after.split(":")[1:], "time": options["time"]}}) + "\\n")
    ids = [str(number)] if one else [f"{{number}}_{{task}}" for task in range(jobs)]
    add("queue.txt", "".join(f"{{id}}|PENDING|Priority\\n" for id in ids))
    print("Submitted batch job", number)
"""


@dataclass(frozen=True)
class Site:
    """Limits that a site sets.

    Attributes:
        array_size: MaxArraySize, jobs of one array.
        most_submitted: MaxSubmitJobs, jobs of a user that wait or run; 0 for no limit.
        longest: the partition's time limit of a job, hours.
    """

    array_size: int = 1001
    most_submitted: int = 0
    longest: int = 24


@dataclass(frozen=True)
class Submitted:
    """An array of jobs that sbatch took.

    Attributes:
        jobs: number of its jobs.
        parallel: jobs of it that run at the same time, at most.
        after: ids of the jobs and arrays that must have ended.
        minutes: time limit of each job.
        one: true if it is a job without an array.
    """

    id: int
    jobs: int
    parallel: int
    after: tuple[str, ...]
    minutes: int
    one: bool

    def names(self) -> list[str]:
        return [str(self.id)] if self.one else [f"{self.id}_{task}" for task in range(self.jobs)]


class Commands:
    """The programs, their files, and the environment in which lgbench finds them.

    A folder that has these files already is continued: what sbatch took there is told again.
    """

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder, self.site, self._read = folder, site, 0
        programs = folder / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (programs / name).write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
            (programs / name).chmod(0o755)
        for name in ("queue.txt", "history.txt", "submitted.jsonl", "calls.txt"):
            (folder / name).touch()
        if not (folder / "site.json").exists():
            self._site(last=0, queued=0)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which lgbench finds these commands, and no defaults of the person who runs this."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "XDG_CONFIG_HOME": str(self.folder / "config")}

    def publish(self, queue: Iterable[tuple[str, str, str]], history: Iterable[tuple[str, str]]) -> None:
        """Writes what squeue and sacct answer from now on: id, state and reason of jobs, id and state of ended ones."""
        lines = ["|".join(job) + "\n" for job in queue]
        (self.folder / "queue.txt").write_text("".join(lines), encoding="utf-8")
        (self.folder / "history.txt").write_text("".join(f"{id}|{end}\n" for id, end in history), encoding="utf-8")
        self._site(last=json.loads((self.folder / "site.json").read_text())["last"], queued=len(lines))

    def submitted(self) -> list[Submitted]:
        """Returns the arrays that sbatch took since this was last asked."""
        lines = (self.folder / "submitted.jsonl").read_text(encoding="utf-8").splitlines()
        new, self._read = lines[self._read :], len(lines)
        return [self._array(json.loads(line)) for line in new]

    def calls(self) -> Counter[str]:
        """Counts the calls of each command."""
        return Counter((self.folder / "calls.txt").read_text(encoding="utf-8").split())

    def _array(self, found: dict[str, Any]) -> Submitted:
        longest = 60 * self.site.longest
        minutes = longest if found["time"] == "INFINITE" else min(int(found["time"]), longest)
        after = tuple(found["after"])
        return Submitted(found["id"], found["jobs"], found["parallel"], after, minutes, found["one"])

    def _site(self, last: int, queued: int) -> None:
        days, hours = divmod(self.site.longest, 24)
        content = {
            "array_size": self.site.array_size,
            "most_submitted": self.site.most_submitted,
            "longest": f"{days}-{hours:02}:00:00",
            "last": last,
            "queued": queued,
        }
        (self.folder / "site.json").write_text(json.dumps(content), encoding="utf-8")
