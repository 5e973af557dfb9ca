"""A step as a program of the device: it asks for nothing, and is the same operations every time.

So it can be captured as a CUDA graph, which a machine without a GPU shows in three ways: the operations of
one step are recorded and repeated as a graph does, a mode refuses whatever gives the host a value, and the
whole step runs on tensors of a GPU that have shapes and no values.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from data_io import BatchLoader
from tests.vae.conftest import smooth_tiles
from tests.vae.fake_device import moved
from tests.vae.training.test_resume import SETTINGS
from tests.vae.training.test_steps import BREAKING, HOST, cases, texts, walked
from vae.config import TrainConfig
from vae.model import pixels
from vae.training.cuda_graph import WARM_UP, own_stream
from vae.training.hardware import prepare
from vae.training.program import Program
from vae.training.state import TrainState

Small = Callable[..., TrainConfig]

READS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")


class _NoWord(TorchDispatchMode):
    """Raises where an operation gives the host a value, or has a shape that depends on one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(func.name().removeprefix("aten::").startswith(read) for read in READS):
            raise AssertionError(f"{func} asks the device for a value")
        return func(*args, **(kwargs or {}))


class _Recorded:
    """What a CUDA graph does, on a CPU: the operations of one step, again and again on the same tensors.

    A number that Python works out, a tensor that is made anew, a branch: all stay as they were when the step
    was recorded.
    """

    made: ClassVar[list["_Recorded"]] = []

    def __init__(self, device: torch.device) -> None:
        self.calls, self.replays = 0, 0
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        _Recorded.made.append(self)

    def __call__(self, work: Callable[[], None]) -> None:
        if self.operations:
            self.replays += 1
            with torch.no_grad():
                for operation in self.operations:
                    self.again(*operation)
        elif self.calls < WARM_UP:
            work()
        else:
            with _NoWord(), _Recorder(self.operations):
                work()
        self.calls += 1

    @staticmethod
    def again(func: Any, args: Any, kwargs: Any, before: Any) -> None:
        for old, new in zip(tree_leaves(before), tree_leaves(func(*args, **kwargs)), strict=True):
            if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)


class _Recorder(TorchDispatchMode):
    def __init__(self, operations: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()
        self.operations = operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result


@pytest.fixture
def _recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.training.program.Graphed", _Recorded)
    _Recorded.made.clear()


CAPTURED = [name for name in SETTINGS | BREAKING if name not in HOST and "probe" not in name]


@pytest.mark.usefixtures("_recording")
@pytest.mark.parametrize("name", cases(CAPTURED))
def test_a_step_is_the_same_operations_on_the_same_tensors_every_time(small: Small, name: str) -> None:
    """So it can be captured; and it asks the device for nothing."""
    settings = (SETTINGS | BREAKING)[name] | {"epochs": 8}
    recorded, records = walked(small(step="graph", **settings), 8)
    if len(records) == 40:
        assert sorted(one.replays for one in _Recorded.made) == [3, 33]  # 5 and 35 steps, two before them
    one_by_one, expected = walked(small(step="eager", **settings), 8)
    assert repr(records) == repr(expected)
    assert texts(recorded.state_dict()) == texts(one_by_one.state_dict())


def test_the_recording_would_show_a_number_that_changes() -> None:
    """The test above can fail."""
    x, factors = torch.ones(3), iter(range(1, 9))
    recorded = _Recorded(torch.device("cpu"))
    for _ in range(6):
        recorded(lambda: x.mul_(float(next(factors))))
    assert x[0] == 1 * 2 * 2 * 2 * 2 * 2
    with pytest.raises(AssertionError, match="asks the device"), _NoWord():
        float(x[0])


@pytest.fixture
def _no_values(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A GPU whose tensors have shapes and no values: reading one on the host raises, and so does an operation
    of tensors on two devices. What has no such tensors is left out: generators, autograd, fused kernels,
    graphs."""

    class OnHost(torch.Generator):
        def __new__(cls, device: Any = None) -> "OnHost":
            return super().__new__(cls, "cpu")

    def on_gpu(network: torch.nn.Module, *_: Any, **__: Any) -> torch.nn.Module:
        return moved(network, "cuda")

    monkeypatch.setattr(torch, "Generator", OnHost)
    monkeypatch.setattr(torch.nn.Module, "to", on_gpu)
    monkeypatch.setattr(Program, "draw_noise", lambda program: None)
    monkeypatch.setattr("vae.training.program.Graphed", lambda device: lambda work: work())
    monkeypatch.setattr("vae.training.state.mean_image_loss", lambda *_: None)
    for name in ("_fused_adam_", "_fused_adamw_", "_fused_sgd_"):
        monkeypatch.setattr(torch, name, lambda *_, **__: None)
    yield
    pixels._scale.cache_clear()


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.usefixtures("_no_values")
@pytest.mark.parametrize("name", [name for name in CAPTURED if "memory_format" not in SETTINGS.get(name, {})])
def test_all_of_a_step_is_on_the_device(small: Small, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source = BatchLoader(smooth_tiles(40), 8, 0)
    plan = source.plan()
    assert plan is not None
    config = small(**{"epochs": 4} | (SETTINGS | BREAKING)[name] | {"device": "cuda"})
    with FakeTensorMode(allow_non_fake_inputs=True):
        monkeypatch.setattr(source, "_images", torch.empty(40, 3, 32, 32, dtype=torch.uint8, device="cuda"))
        state = TrainState(config, source, 50.0, border_lr=0.1)
        parameters = [*state.model.trained(), *state.loss.parameters()]

        def backward(loss: Tensor) -> None:
            for parameter in parameters:
                parameter.grad = torch.empty_like(parameter)

        monkeypatch.setattr(torch.autograd, "backward", backward)
        program = Program(state, source)
        program.begin(0, [1e-3] * 5, [0.1] * 5, [1.0] * 5)
        for step in range(3):
            program.launch(step, None)
        assert program.records(0, 3).device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            float(program.records(0, 3)[0, 0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("error:training goes on without a CUDA graph")
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("name", [n for n in SETTINGS | BREAKING if n not in HOST])
def test_graphs_on_a_gpu_change_no_bit(small: Small, name: str, resident: bool) -> None:
    """With tiles on the GPU, from which a step makes its batch, and in main memory."""
    settings = {"epochs": 8, "device": "cuda"} | (SETTINGS | BREAKING)[name]
    with own_stream(torch.device("cuda")):  # the default one cannot be captured
        prepare(small(**settings))
        (one, records), (other, others) = (
            walked(small(step=step, **settings), 8, resident) for step in ("eager", "graph")
        )
        assert repr(records) == repr(others)
        if "probe" not in name:
            assert texts(one.state_dict()) == texts(other.state_dict())
