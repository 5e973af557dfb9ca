"""Processes under test: waited for, heard, frozen in mid-work, killed."""

import array
import contextlib
import fcntl
import random
import signal
import sqlite3
import subprocess
import termios
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock

if TYPE_CHECKING:
    from tests.sweep.conftest import Lab


def wait_until(true: Callable[[], object], timeout_s: float = 240, poll_s: float = 0.02) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(poll_s)


def hear(process: subprocess.Popen[str], words: str) -> None:
    """Wait until it says so; what it says from then on is left to read."""
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if words in line:
            return
    raise AssertionError("".join(heard))


def freeze(lab: "Lab", worker: psutil.Process) -> None:
    """Stop it in mid-work, at a moment when it holds no lock that its parent may wait for."""
    database = lab.home / "optuna.db"
    with (
        FileLock(f"{database}.tiny.lock"),
        contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection,
    ):
        connection.execute("begin immediate")
        worker.suspend()
        wait_until(lambda: _is_stopped(worker), poll_s=0.001)  # it takes a while, in which locks can be taken
        connection.execute("rollback")


def _is_stopped(worker: psutil.Process) -> bool:
    """All of its threads, but for those that end meanwhile."""
    states = []
    for thread in Path(f"/proc/{worker.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            states.append((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return set(states) == {"T"}


def checkpointed_at(lab: "Lab") -> int:
    """When the first trial was, in ns; 0 before."""
    try:
        return (lab.home / "checkpoints/tiny/0/state.pt").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def in_the_middle(lab: "Lab", process: subprocess.Popen[str], after: int = 0) -> psutil.Process:
    """The only worker, frozen: the first trial has written a checkpoint since `after`, and is not over."""
    wait_until(lambda: checkpointed_at(lab) > after, poll_s=0.01)
    (worker,) = workers_of(process)
    freeze(lab, worker)
    return worker


def unread(worker: psutil.Process) -> int:
    """The bytes that wait in its stdin."""
    count = array.array("i", [0])
    with Path(f"/proc/{worker.pid}/fd/0").open("rb", buffering=0) as pipe:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def kill_tree(pid: int) -> None:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    kill_all(family)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """One that ended by itself meanwhile, as workers do whose parent was killed, is no fault."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=30)


def command_line(process: psutil.Process) -> list[str]:
    """Its words; none where it is gone, as one that was listed a moment ago may be, or is another user's."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [p for p in psutil.Process(process.pid).children() if "sweep.engine.worker" in command_line(p)]


def kill_at_random(process: subprocess.Popen[str], dice: random.Random) -> int:
    """A worker or two, or the parent, whose workers end with it. Returns how many processes that were."""
    try:
        workers = workers_of(process)
        chosen = dice.sample(workers, k=min(len(workers), dice.choice([1, 1, 2])))
        if dice.random() < 0.3:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return 1
        for worker in chosen:
            worker.kill()
        return len(chosen)
    except psutil.NoSuchProcess:
        return 0
