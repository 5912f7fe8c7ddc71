"""The configuration of the test cluster: slurm.conf, slurmdbd.conf, gres.conf."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def write(folder: Path, ports: Mapping[str, int], settings: Mapping[str, str | int]) -> None:
    """Writes the three files into `folder`.

    Args:
        folder: where the cluster keeps everything.
        ports: of slurmctld, slurmd and slurmdbd.
        settings: lines of slurm.conf to add or replace.
    """
    munge = folder / "munge/sock"
    controller: Mapping[str, object] = {
        "ClusterName": "test",
        # Not the machine's name, which may be long or resolve to nothing.
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": ports["slurmctld"],
        "SlurmdPort": ports["slurmd"],
        "SlurmUser": user(),
        "SlurmdUser": user(),
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        # A requeued job waits for cred_expire, by default two minutes, before it starts again.
        "AuthInfo": f"socket={munge},cred_expire=5",
        "StateSaveLocation": folder / "slurmctld",
        "SlurmdSpoolDir": folder / "slurmd",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "log/slurmctld.log",
        "SlurmdLogFile": folder / "log/slurmd.log",
        # No cgroups: containers often have none to give.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        # Quick to schedule, to give up a node (10 s) and to kill (5 s after SIGTERM).
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=1",
        "SlurmdTimeout": 10,
        "KillWait": 5,
        "JobRequeue": 1,
        "ReturnToService": 2,
        # Finished jobs stay known to the controller for as long as the cluster lives.
        "MinJobAge": 86400,
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": ports["slurmdbd"],
        "AccountingStoragePass": munge,
        "GresTypes": "gpu",
        # The same node on every machine, whatever that has.
        "SlurmdParameters": "config_overrides",
        "NodeName": "localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=20000 Gres=gpu:2 State=UNKNOWN",
        "PartitionName": "main Nodes=localhost Default=YES MaxTime=INFINITE State=UP",
        **settings,
    }
    accounting: Mapping[str, object] = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={munge}",
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": ports["slurmdbd"],
        "SlurmUser": user(),
        "PidFile": folder / "slurmdbd.pid",
        "LogFile": folder / "log/slurmdbd.log",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "root",
        "StorageLoc": "slurm_accounting",
    }
    for name, values in (("slurm.conf", controller), ("slurmdbd.conf", accounting)):
        (folder / name).touch(mode=0o600)  # as slurmdbd demands
        (folder / name).write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    # Device nodes that every machine has: a job's CUDA_VISIBLE_DEVICES counts them.
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null,/dev/zero\n")


def user() -> str | None:
    """Returns the user who runs the tests, all daemons and all jobs; None if it has no name (some containers)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
