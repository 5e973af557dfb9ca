"""Why a trial, or the process that ran it, ended without a result."""

import signal
import traceback
from pathlib import Path
from typing import Any

from sweep.recovery.attempts import Again, Ending
from sweep.store.retry import is_disk_full

CGROUP_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class OutOfMemoryError(Exception):
    """On the GPU or the CPU; the message says with what batch."""


def describe(error: BaseException) -> dict[str, Any]:
    """An exception of a trial as the JSON that a worker sends to its parent: kind, message, trace.

    Kinds: `oom` (the batch does not fit into the memory of the GPU or the CPU), `disk_full`, `error`.
    """
    message = f"{type(error).__name__}: {error}"
    if is_disk_full(error):
        kind = "disk_full"
    elif isinstance(error, OutOfMemoryError):
        kind, message = "oom", str(error)
    else:
        kind = "error"
    return {"kind": kind, "message": message, "trace": "".join(traceback.format_exception(error))}


def is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def ending_of(kind: str, message: str) -> Ending:
    """The ending of a trial that raised. One that does not fit into memory will not fit later, either."""
    if kind == "oom":
        return Ending("oom", message, Again.NEVER)
    if kind == "disk_full":
        return Ending("interrupted", "no space was left on the disk", Again.FREE)
    return Ending("error", message, Again.COUNTED)


def oom_kills() -> int:
    """How many processes of this container the kernel has killed for memory; 0 if it does not say."""
    for path in CGROUP_EVENTS:
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdigit():
                return int(count)
    return 0


def exit_cause(code: int, oom_kills_before: int) -> str:
    """What an exit code means: a signal by its name, and whether the kernel sent it for want of memory."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL and oom_kills() > oom_kills_before:
        return f"{name}, which the kernel sends when memory runs out"
    return f"signal {name}"
