"""When a piece of work is captured, repeated, or just done; the graph itself is a stand-in without a GPU."""

import gc
import threading
from typing import Any, ClassVar

import pytest
import torch

from vae.training import cuda_graph
from vae.training.cuda_graph import WARM_UP, Graphed


class _Graph:
    """What a `torch.cuda.CUDAGraph` is told; `fails`: at which call it raises. As there, no frame of a call
    holds it."""

    fails: ClassVar[str] = ""
    told: ClassVar[list[str]] = []

    @staticmethod
    def capture_begin(capture_error_mode: str) -> None:
        _hear("begin")

    @staticmethod
    def capture_end() -> None:
        _hear("end")

    @staticmethod
    def replay() -> None:
        _hear("replay")


def _hear(what: str) -> None:
    _Graph.told.append(what)
    if what == _Graph.fails:
        raise RuntimeError(f"{what} fails\nand why")


class _Stream:
    def synchronize(self) -> None:
        pass


@pytest.fixture
def graphed(monkeypatch: pytest.MonkeyPatch) -> Graphed:
    _Graph.told, _Graph.fails = [], ""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", _Graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: _Stream())
    return Graphed(torch.device("cuda"))


def test_work_is_captured_once_after_its_warm_up_and_then_repeated(graphed: Graphed) -> None:
    for _ in range(WARM_UP):
        graphed(lambda: _Graph.told.append("done"))
    collecting = []
    graphed(lambda: collecting.append(gc.isenabled()))
    graphed(lambda: pytest.fail("it is in the graph"))
    assert _Graph.told == ["done"] * WARM_UP + ["begin", "end", "replay", "replay"]
    assert collecting == [False]
    assert gc.isenabled()


@pytest.mark.parametrize("fails", ["begin", "work", "end"])
def test_what_cannot_be_captured_is_done_and_that_is_said_once(graphed: Graphed, fails: str) -> None:
    _Graph.fails = fails
    done = 0

    def work() -> None:
        nonlocal done
        done += 1
        if fails == "work" and done == WARM_UP + 1:
            _Graph.fails = "end"
            raise RuntimeError("work fails")

    for _ in range(WARM_UP):
        graphed(work)
    with pytest.warns(UserWarning, match=f"without a CUDA graph of its step: {fails} fails$"):
        graphed(work)
    graphed(work)  # a warning would be an error here
    assert done == WARM_UP + 2 + (fails != "begin"), "once more in the attempt"
    assert "replay" not in _Graph.told
    assert gc.isenabled()


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.filterwarnings("ignore:training goes on without a CUDA graph")
def test_a_graph_is_let_go_while_no_other_is_captured(
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch, captured: bool
) -> None:
    """With its run, or where it could not be captured."""
    _Graph.fails = "" if captured else "end"
    free: list[bool] = []
    monkeypatch.setattr(
        _Graph, "__del__", lambda self: free.append(_is_free(cuda_graph._CAPTURING)), raising=False
    )
    for _ in range(WARM_UP + 1):
        graphed(lambda: None)
    assert free == ([] if captured else [False])
    graphed.__del__()
    assert free == [False]


def _is_free(lock: Any) -> bool:
    """Whether another thread could take it now."""
    found: list[bool] = []

    def take() -> None:
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    other = threading.Thread(target=take)
    other.start()
    other.join()
    return found[0]
