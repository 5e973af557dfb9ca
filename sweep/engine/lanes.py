"""Lanes: several trials at once in one process, each in a thread of its own.

One training step of a small network leaves most of a GPU idle, and processes that share one take turns on it.
Threads of one process, each on a stream of its own, do not. What the threads of a process share is guarded
where it lives: torch's global generator in `vae.model.network`, tiles by `Shared`.
"""

import contextlib
import os
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from sweep.engine.options import MOST_LANES

K = TypeVar("K")
V = TypeVar("V")

BUSY_GFLOP = 64.0
"""A GPU has enough to do with steps at work that are so much arithmetic together. On an H100, steps of 2.7
GFLOP on streams of their own are 3.6 times as many a second with 8 lanes and 3.9 times with 32; steps of 501
GFLOP 1.17 times as many with 4."""
LANES_A_CORE = 2
"""The part of a step that is Python's holds the interpreter: more lanes would wait for one another."""
SHARE = 0.8
"""Of the memory that is free, for trials; the rest is for tiles and for what libraries keep."""


def lanes_that_pay(gflop: float, trial_bytes: float, free_bytes: float, cores: int) -> int:
    """How many lanes one GPU is given: a power of two from 1 to 32.

    Args:
        gflop: arithmetic of one training step, forward and backward.
        trial_bytes: memory of the GPU that a trial needs.
        free_bytes: memory of the GPU that is free.
        cores: processor cores of the process.
    """
    limits = (MOST_LANES, BUSY_GFLOP / max(gflop, 1e-9), SHARE * free_bytes / max(trial_bytes, 1.0))
    most = int(min(*limits, LANES_A_CORE * cores))
    return 1 << (max(1, most).bit_length() - 1)


def in_lanes(count: int, work: Callable[[int], None], on_gpu: bool = False) -> None:
    """`work(lane)` for the lanes 0, 1, ..., at the same time; returns when all have ended.

    A single lane is the thread that calls. Of several, each is a thread, on a GPU with a stream of its own;
    what `work` does not catch ends the process, as it does in a single lane.
    """
    if count == 1:
        work(0)
        return

    import torch

    from vae.training.cuda_graph import own_stream

    device = torch.device("cuda" if on_gpu and torch.cuda.is_available() else "cpu")

    def run(lane: int) -> None:
        try:
            with own_stream(device):
                work(lane)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    threads = [threading.Thread(target=run, args=(lane,), name=f"lane {lane}") for lane in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def release_memory() -> None:
    """Give back what a trial that is over held on the GPU, so that those beside it have it."""
    import gc

    import torch

    gc.collect()  # a traceback and its frames refer to each other
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        with contextlib.suppress(RuntimeError):  # another lane is recording a graph
            torch.cuda.empty_cache()


class Shared(Generic[K, V]):
    """`make(key)`, made once for all threads; the `keep` that were used last are kept.

    One is made at a time: making may write files that are named by the process.
    """

    def __init__(self, make: Callable[[K], V], keep: int) -> None:
        self._make, self._keep = make, keep
        self._made: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, key: K) -> V:
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(key)
            self._made.move_to_end(key)
            while len(self._made) > self._keep:
                self._made.popitem(last=False)
            return self._made[key]
