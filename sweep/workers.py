"""Worker processes as the parent sees them: started, spoken to, heard, ended."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.worker import Spec

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# glibc would hand every freed activation back to the system and fault its pages in again at the next
# step; kept, evaluation takes 0.6 of the time.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Event:
    worker: "Worker"
    name: str
    facts: dict[str, Any] = field(default_factory=dict)


class Worker:
    """One process; its events arrive in the queue it was given, the last one being `exit`.

    Threads and devices are set in the environment, because torch reads them when it is imported. A
    session of its own keeps the terminal's Ctrl-C from it: the parent decides what that means.
    """

    def __init__(
        self, number: int, threads: int, device: str | None, log: Path, events: "queue.Queue[Event]"
    ) -> None:
        self.number, self.log, self.events = number, log, events
        self.trial: int | None = None
        """Number of the trial it runs; None between trials."""
        environment = ALLOCATOR | os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                text=True,
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            self.events.put(Event(self, message.pop("event"), message))
        code = self.process.wait()
        self.events.put(Event(self, "exit", {"code": code}))

    def send_spec(self, spec: Spec) -> None:
        self._send(spec.model_dump_json())

    def command(self, do: str) -> None:
        self._send(json.dumps({"do": do}))

    def _send(self, line: str) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # a dead worker is heard of by its exit event
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def end(self, timeout_s: float = 20.0) -> None:
        """Close its stdin, which ends it, and make sure."""
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, to say why it died."""
        with contextlib.suppress(OSError):
            return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""
