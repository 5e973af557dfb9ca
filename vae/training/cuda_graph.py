"""A function as one CUDA graph: hundreds of kernels that the host launches as one."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

WARM_UP = 3
"""Calls before it is captured: they make what is made once, such as an optimizer's state and workspaces."""
_CAPTURING = threading.Lock()


class Graphed:
    """`work` as a graph from its fourth call on, where `device` is a GPU; on a CPU it is just called.

    work: takes and returns nothing, works on the same tensors at every call, on the current stream, and asks
    no tensor for its value. Calling it is a step of the training as it is, so nothing needs to be undone
    after the warm-up. The graph has memory of its own, since graphs of other trainings run at the same time
    (pytorch/pytorch#166975: a shared pool is safe only for graphs that never do).
    """

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self._work, self._device = work, device
        self._left = WARM_UP
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is not None:
            self._graph.replay()
        elif self._device.type != "cuda" or self._left:
            self._left = max(0, self._left - 1)
            self._work()
        else:
            self._graph = self._captured()
            self._graph.replay()

    def _captured(self) -> torch.cuda.CUDAGraph:
        """Not by `torch.cuda.graph`, which waits for the whole device and with it for all other trainings."""
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(self._device)
        with _CAPTURING, _no_collection():
            stream.synchronize()
            # Other threads go on allocating memory and launching kernels meanwhile.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._work()
            finally:
                graph.capture_end()
        return graph


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

    A thread that has a stream of its own keeps it; on a CPU it does nothing.
    """
    if device.type != "cuda" or torch.cuda.current_stream(device) != torch.cuda.default_stream(device):
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)
