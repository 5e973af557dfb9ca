"""A function as one CUDA graph: hundreds of kernels that the host launches as one."""

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

WARM_UP = 1
"""Calls before it is captured: they make what is made once, such as an optimizer's state and workspaces. One
is what torch's own trees of graphs take, and a step that is launched kernel by kernel costs ten replays."""
_CAPTURING = threading.RLock()
"""Held while a graph is captured or let go: torch before 2.13 lists all graphs that may draw from its global
generator and guards the list by nothing. The garbage collector may let one go in the thread that captures."""


class Graphed:
    """A piece of work as a graph from its second call on, where `device` is a GPU; on a CPU it is just done.

    work: the same at every call; takes and returns nothing, works on the same tensors at every call, on the
    current stream, and asks no tensor for its value. The first call is a step of the training, too, so
    nothing needs to be undone. The graph has memory of its own, since graphs of other trainings run at the
    same time (pytorch/pytorch#166975: a shared pool is safe only for graphs that never do). Where the work
    cannot be captured after all, that is said once, and it is just done.

    It is not kept between calls, or what it works on would be freed by the garbage collector alone, later.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._left = WARM_UP
        self._graph: torch.cuda.CUDAGraph | None = None
        self._tries = device.type == "cuda"

    def __call__(self, work: Callable[[], None]) -> None:
        if self._graph is None and self._tries and not self._left:
            try:
                self._capture(work)
            except RuntimeError as error:
                self._tries = False
                # Where the work failed, ending the capture fails too, and says less.
                why = str(error.__context__ or error).partition("\n")[0]
                warnings.warn(f"training goes on without a CUDA graph of its step: {why}", stacklevel=2)
        if self._graph is not None:
            self._graph.replay()
        else:
            self._left = max(0, self._left - 1)
            work()

    def __del__(self) -> None:
        with _CAPTURING:
            self._graph = None

    def _capture(self, work: Callable[[], None]) -> None:
        """Not by `torch.cuda.graph`, which waits for the whole device and with it for all other trainings."""
        graph = torch.cuda.CUDAGraph()
        with _CAPTURING, _no_collection():
            torch.cuda.current_stream(self._device).synchronize()
            try:
                # Other threads go on allocating memory and launching kernels meanwhile.
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    work()
                finally:
                    graph.capture_end()
            except RuntimeError:
                del graph
                raise
            self._graph = graph


@contextmanager
def _no_collection() -> Iterator[None]:
    """Freeing a tensor of another stream would be recorded, or end the capture."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Everything inside runs on a stream other than the default one, which cannot be captured.

    A thread that has a stream of its own keeps it; on a CPU it does nothing. torch has 32 streams of each
    priority and hands them out in turn: those of high priority are for trainings alone, as one that copied
    for another thread could else be this thread's own.
    """
    if device.type != "cuda" or torch.cuda.current_stream(device) != torch.cuda.default_stream(device):
        yield
        return
    stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)
