"""Worker processes as the parent sees them: started, spoken to, heard, ended."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.engine.cores import available_cores
from sweep.engine.room import Room
from sweep.engine.worker import Spec
from sweep.store.home import Home
from sweep.store.secrets import redact

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LAST_BYTES = 20_000
# glibc would hand every freed activation back to the system and fault its pages in again at the next
# step; kept, evaluation takes 0.6 of the time.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}
# With several streams cuBLAS gives the same bits every time only if each has a workspace of fixed size.
DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def package_path() -> dict[str, str]:
    """Where a worker finds the packages, since it leaves out the working directory (`-P`).

    A user's `vae.py` there would be taken for the package. Packages that are not installed, but run from
    their own folder, are found by PYTHONPATH.
    """
    root = Path(__file__).resolve().parents[2]
    if str(root) in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}


@dataclass
class Event:
    """lane: where in the worker; of an `exit` it says nothing."""

    worker: "Worker"
    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    lane: int = 0


@dataclass(eq=False)
class Lane:
    """What is given trials: one of those that a worker runs at the same time.

    number: among the lanes of all workers. trial: number of the one that it runs, None between trials.
    was_beside: whether another lane of the worker was at work during any part of that trial.
    """

    worker: "Worker"
    index: int
    number: int
    trial: int | None = None
    was_beside: bool = False

    def take(self, trial: int) -> None:
        others = [lane for lane in self.worker.at_work() if lane is not self]
        for lane in others:
            lane.was_beside = True
        self.trial, self.was_beside = trial, bool(others)
        self.worker.send({"do": "trial", "lane": self.index, "number": trial})

    def end(self) -> None:
        """No more trials."""
        self.worker.send({"do": "end", "lane": self.index})


class Worker:
    """One process; its events arrive in the queue it was given, the last one being `exit`.

    Events have a pipe of their own: whatever anyone prints in the process, from any language, is in its log.
    Threads and devices are set in the environment, because torch reads them when it is imported. A
    session of its own keeps the terminal's Ctrl-C from it: the parent decides what that means.
    """

    def __init__(
        self,
        number: int,
        threads: int,
        device: str | None,
        log: Path,
        events: "queue.Queue[Event]",
        lanes: int = 1,
    ) -> None:
        """threads: of each lane."""
        self.number, self.log, self.events = number, log, events
        self.lanes = [Lane(self, index, number * lanes + index) for index in range(lanes)]
        self._has_spec = False
        own = dict.fromkeys(THREAD_VARIABLES, str(threads)) | package_path()
        environment = ALLOCATOR | DETERMINISTIC | os.environ | own
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = log.stat().st_size if log.exists() else 0
        heard, told = os.pipe()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sweep.engine.worker", str(told)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                text=True,
                start_new_session=True,
                pass_fds=(told,),
            )
        os.close(told)
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def _listen(self, heard: int) -> None:
        """Whatever happens here, an `exit` follows: nobody waits for a worker that is heard no more."""
        try:
            with open(heard, encoding="utf-8") as lines:
                for line in lines:
                    message = json.loads(line)
                    name, lane = message.pop("event"), message.pop("lane", 0)
                    self.events.put(Event(self, name, message, lane))
        except Exception as error:
            self.process.kill()
            with contextlib.suppress(OSError), self.log.open("a") as log:
                log.write(f"ended, because its events cannot be read: {error!r}\n")
        self.events.put(Event(self, "exit", {"code": self.process.wait()}))

    def send_spec(self, spec: Spec) -> None:
        self._has_spec = True
        self._send(spec.model_dump_json())

    def at_work(self) -> list[Lane]:
        return [lane for lane in self.lanes if lane.trial is not None]

    def stop(self) -> None:
        """Leave the trials of all lanes now, and take no more."""
        self.send({"do": "stop"})

    def send(self, command: dict[str, Any]) -> None:
        self._send(json.dumps(command))

    def _send(self, line: str) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # a dead worker is heard of by its exit event
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def end(self, timeout_s: float = 20.0) -> None:
        """Close its stdin, which ends it, and make sure.

        One without a spec has opened nothing yet, so nobody waits for its imports.
        """
        assert self.process.stdin
        if not self._has_spec:
            self.process.kill()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self, lines: int) -> str:
        """The end of its log, to say why it died."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self._log_start, file.seek(0, os.SEEK_END) - LAST_BYTES))
            return "\n".join(redact(file.read().decode(errors="replace")).splitlines()[-lines:])
        return ""


class Pool:
    """The live workers and their events, and how to start one more in the place of one that died.

    A worker's imports keep a core busy for three seconds, and this process's own, which the first trial waits
    for, another. So a core is kept for it, and on few cores some workers start only when the spec is known:
    the first training step comes two seconds earlier, and the last worker half a second later.

    placing: CUDA_VISIBLE_DEVICES of each worker. threads: of each lane. lanes: of each worker.
    """

    def __init__(self, home: Home, placing: Sequence[str], threads: int, lanes: int = 1) -> None:
        self.home, self.placing, self.threads, self.lanes = home, placing, threads, lanes
        self.events: queue.Queue[Event] = queue.Queue()
        self.live: list[Worker] = []
        self.rooms = [Room(lanes) for _ in placing]
        """By number of the worker."""

    @property
    def count(self) -> int:
        """Trials that can run at the same time: the lanes of all workers."""
        return len(self.placing) * self.lanes

    def room_in(self, worker: Worker) -> int:
        """How many more of its lanes may be at work."""
        return max(0, self.rooms[worker.number].open - len(worker.at_work()))

    @property
    def free(self) -> int:
        """How many more trials could run at once now; at least 1."""
        return max(1, sum(self.room_in(worker) for worker in self.live))

    def start(self, number: int) -> Worker:
        log = self.home.logs / f"worker-{os.getpid()}-{number}.log"
        worker = Worker(number, self.threads, self.placing[number], log, self.events, self.lanes)
        self.live.append(worker)
        return worker

    def send_spec(self, spec: Spec) -> None:
        """To all; they open the stores and read the trials while their parent does the same."""
        for number in range(len(self.live), len(self.placing)):
            self.start(number)
        for worker in self.live:
            worker.send_spec(spec)

    def __enter__(self) -> "Pool":
        try:
            for number in range(min(len(self.placing), max(1, available_cores() - 1))):
                self.start(number)
        except BaseException:  # Ctrl-C: `with` does not end what was not entered
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.live:
            worker.stop()
        for worker in self.live:
            worker.end()
