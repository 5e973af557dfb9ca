"""Batches taken by `plan` and `gather` are those that `epoch` serves, and leave the same state."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from data_io import BatchLoader

IMAGES = torch.randint(0, 256, (23, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SETTINGS = [
    {"images": images, "batch_size": size, "drop_last": drop_last, "flip": flip, "rotate": rotate}
    for images, size, drop_last in [
        (IMAGES, 5, True),
        (IMAGES[:20], 5, True),
        (IMAGES[:20], 5, False),
        (IMAGES, 64, True),
        (IMAGES, 64, False),
    ]
    for flip in (False, True)
    for rotate in (False, True)
]


def loader(settings: dict[str, Any], seed: int = 1) -> BatchLoader:
    return BatchLoader(seed=seed, **settings)


def served_one_by_one(source: BatchLoader) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """Each batch, and the state when the next one is due."""
    while True:
        batches = source.epoch()
        left = len(source) - source.state_dict()["position"]
        for batch in itertools.islice(batches, left - 1):
            yield batch, source.state_dict()
        last = next(batches)
        assert next(batches, None) is None
        yield last, source.state_dict()


def served_by_plan(source: BatchLoader, at_once: int) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """The same, `at_once` batches of the plan at a time; between those of a block there is no state."""
    while True:
        plan = source.plan()
        assert plan is not None
        for rows in torch.split(plan, at_once):
            source.served(len(rows))
            for place, batch in enumerate(rows, 1):
                yield source.gather(source.images, batch), source.state_dict() if place == len(rows) else {}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name]
        for name, value in one.items()
    )


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_a_plan_is_the_same_stream(settings: dict[str, Any], at_once: int) -> None:
    expected = served_one_by_one(loader(settings))
    planned = served_by_plan(loader(settings), at_once)
    for (batch, state), (again, after) in itertools.islice(zip(expected, planned, strict=True), 14):
        assert torch.equal(batch, again)
        assert not after or same(state, after)


@pytest.mark.parametrize("settings", SETTINGS)
def test_both_ways_mix_and_continue_after_a_restore(settings: dict[str, Any]) -> None:
    expected = [batch for batch, _ in itertools.islice(served_one_by_one(loader(settings)), 30)]
    source, taken = loader(settings), []
    for turn in itertools.count():
        if turn % 2:
            taken += [batch for batch, _ in itertools.islice(served_one_by_one(source), 3)]
        else:
            taken += [batch for batch, _ in itertools.islice(served_by_plan(source, 1), 2)]
        if len(taken) >= 30:
            break
        restored = loader(settings, seed=999)
        restored.plan()
        restored.load_state_dict(source.state_dict())
        source = restored
    assert all(torch.equal(a, b) for a, b in zip(expected, taken, strict=False))


def test_a_plan_alone_takes_nothing() -> None:
    source, untouched = loader(SETTINGS[3]), loader(SETTINGS[3])
    first = source.plan()
    assert same(source.state_dict(), untouched.state_dict())
    assert first is not None
    assert torch.equal(first, source.plan())  # type: ignore[arg-type]
    assert first.shape == (4, 5, 4)
    assert first.dtype == torch.int64
    source.served(1)
    assert torch.equal(first[1:], source.plan())  # type: ignore[arg-type]


def test_a_state_taken_after_the_last_batch_has_none_left_and_then_ends() -> None:
    source, whole = loader(SETTINGS[3]), loader(SETTINGS[3])
    list(whole.epoch())
    list(itertools.islice(source.epoch(), len(source)))
    plan = source.plan()
    assert plan is not None
    assert plan.shape == (0, 5, 4)
    source.served(0)
    assert same(source.state_dict(), whole.state_dict())


def test_an_iterator_left_behind_serves_nothing_of_the_next_epoch() -> None:
    source = loader(SETTINGS[3])
    batches = source.epoch()
    next(batches)
    source.served(3)
    state = source.state_dict()
    assert list(batches) == []
    assert same(source.state_dict(), state)


def test_batches_of_two_sizes_have_no_plan() -> None:
    assert BatchLoader(IMAGES, 5, 0, drop_last=False).plan() is None


@pytest.mark.parametrize("count", [-1, 4])
def test_more_batches_than_are_left_cannot_have_been_served(count: int) -> None:
    source = loader(SETTINGS[0])
    source.served(1)
    with pytest.raises(ValueError, match=f"{count} batches were served where 3 are left"):
        source.served(count)


class NothingReadOnTheHost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises at an operation that would make the host wait for a device."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "is_nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        masks = name.startswith("index") and any(
            isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8)
            for indices in args[1:]
            for part in (indices if isinstance(indices, list | tuple) else ())
        )
        if name in self.READS or masks:
            raise AssertionError(f"{func} is read on the host")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("width", [8, 6])
def test_gathering_reads_nothing_on_the_host(width: int) -> None:
    images = IMAGES[..., :width]
    rows = torch.randint(2, (5, 4))
    with NothingReadOnTheHost():
        BatchLoader.gather(images, rows)
    for reading in (rows[0, 0].item, lambda: images[rows[:, 0].bool()], rows.nonzero):
        with pytest.raises(AssertionError, match="read on the host"), NothingReadOnTheHost():
            reading()


def test_gathering_needs_no_values_to_know_its_shape() -> None:
    images, rows = IMAGES.to("meta"), torch.zeros(5, 4, dtype=torch.int64, device="meta")
    assert BatchLoader.gather(images, rows).shape == (5, 3, 8, 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gathering_can_be_part_of_a_cuda_graph() -> None:
    source = loader(SETTINGS[3])
    plan = source.plan()
    assert plan is not None
    images, rows = IMAGES.cuda(), plan[0].cuda()
    BatchLoader.gather(images, rows)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        batch = BatchLoader.gather(images, rows)
    for expected, row in zip(source.epoch(), plan, strict=True):
        rows.copy_(row)
        graph.replay()
        assert torch.equal(batch.cpu(), expected)
