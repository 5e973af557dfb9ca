"""A real Slurm on this machine, for one test: a controller and nodes, all of them this user's processes.

It needs Debian's package `slurm-wlm` and nothing else: no root, no systemd, no munge.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
CONFIG = """\
ClusterName=tests
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=1,bf_interval=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
SlurmdTimeout=15
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9
"""
NODE = "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=4000\n"


@dataclass
class Slurm:
    """config: the file that SLURM_CONF names."""

    config: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def command(self, *words: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            words,
            env=os.environ | {"SLURM_CONF": str(self.config)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def jobs(self, *states: str) -> list[str]:
        """Ids of the jobs in these states; of arrays, each element."""
        rows = self.command("squeue", "--noheader", "--array", "--states=all", "--format=%i %T").splitlines()
        return [row.split()[0] for row in rows if row.split()[1] in states]

    def hurry(self) -> None:
        """Let jobs that were queued again begin now, and not after the two minutes that Slurm adds."""
        for job in self.jobs("PENDING"):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.command("scontrol", "update", f"jobid={job}", "StartTime=now")

    def start(self, *words: str, name: str) -> None:
        log = (self.config.parent / f"{name}.out").open("wb")
        with log:
            self.processes[name] = subprocess.Popen(
                words,
                env=os.environ | {"SLURM_CONF": str(self.config)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, nodes: int, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.CalledProcessError):
                if (
                    self.command("sinfo", "--noheader", "-N", "-p", "low", "-o", "%t").split().count("idle")
                    == nodes
                ):
                    return
            time.sleep(0.2)
        raise AssertionError((self.config.parent / "slurmctld.log").read_text()[-2000:])

    def end(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.command("scancel", "--signal=KILL", "--full", "--user", getpass.getuser())
            self.command("scancel", "--user", getpass.getuser())
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def running_slurm(folder: Path, nodes: int = 2) -> Iterator[Slurm]:
    """Nodes of one core each; jobs of the partition `high` preempt those of `low`, the default."""
    (folder / "state").mkdir(parents=True)
    slurm = Slurm(folder / "slurm.conf")
    text = CONFIG.format(port=free_port(), user=getpass.getuser(), folder=folder)
    names = [f"node{number}" for number in range(nodes)]
    for name in names:
        (folder / "spool" / name).mkdir(parents=True)
    rows = "".join(NODE.format(name=name, port=free_port()) for name in names)
    head, partitions = text.split("PartitionName", 1)
    slurm.config.write_text(f"{head}{rows}PartitionName{partitions}")
    try:
        slurm.start("slurmctld", "-D", name="slurmctld")
        for name in names:
            slurm.start("slurmd", "-D", "-N", name, name=name)
        slurm.wait_for(nodes)
        yield slurm
    finally:
        slurm.end()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
