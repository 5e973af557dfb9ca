"""A loader that gathers ahead gives the same batches, and counts only those that it has given."""

import gc
import itertools
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from data_io.tiles.ahead import Ahead

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (23, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
AUGMENTED: dict[str, Any] = {"flip": True, "rotate": True}


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("batch ahead")}


def state_of(loader: BatchLoader) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, Tensor) else value
        for name, value in loader.state_dict().items()
    }


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("size", [1, 5, 23, 64])
def test_batches_and_states_are_those_of_a_loader_that_does_not(size: int, drop_last: bool) -> None:
    settings = {**AUGMENTED, "drop_last": drop_last}
    plain = BatchLoader(IMAGES, size, 1, **settings)
    ahead = BatchLoader(IMAGES, size, 1, **settings, ahead=CPU)
    kept = []
    for _ in range(3):
        for one, other in zip(plain.epoch(), ahead.epoch(), strict=True):
            assert torch.equal(one, other)
            assert state_of(plain) == state_of(ahead)
            kept.append((one, other))
        assert state_of(plain) == state_of(ahead)
    assert all(torch.equal(one, other) for one, other in kept)
    assert not threads()


@pytest.mark.parametrize("taken", [0, 1, 3, 4])
def test_a_stopped_epoch_goes_on_with_the_batch_that_was_made_and_not_given(taken: int) -> None:
    expected = list(BatchLoader(IMAGES, 5, 1, **AUGMENTED).epoch())
    loader = BatchLoader(IMAGES, 5, 1, **AUGMENTED, ahead=CPU)
    first = list(itertools.islice(loader.epoch(), taken))
    assert loader.state_dict()["position"] == taken
    restored = BatchLoader(IMAGES, 5, 9, **AUGMENTED, ahead=CPU)
    restored.load_state_dict(loader.state_dict())
    rest = list(restored.epoch())
    assert all(torch.equal(a, b) for a, b in zip(expected, first + rest, strict=True))


def test_batches_taken_by_plan_in_between_are_not_given_again() -> None:
    expected = list(BatchLoader(IMAGES, 5, 1).epoch())
    loader = BatchLoader(IMAGES, 5, 1, ahead=CPU)
    batches = loader.epoch()
    assert torch.equal(next(batches), expected[0])
    loader.served(1)
    assert torch.equal(next(batches), expected[2])


def test_no_thread_outlives_an_iterator_that_is_left_behind() -> None:
    loader = BatchLoader(IMAGES, 5, 1, ahead=CPU)
    batches = loader.epoch()
    next(batches)
    assert threads()
    del batches
    gc.collect()
    assert not threads()


def test_an_error_while_gathering_is_raised_where_the_batch_is_asked_for() -> None:
    def gather(images: Tensor, rows: Tensor, out: Tensor) -> Tensor:
        return out.copy_(images[rows[:, 0]])

    rows = torch.zeros(5, 4, dtype=torch.int64)
    with Ahead(IMAGES, CPU, gather) as batch_of:
        assert torch.equal(batch_of(rows, rows + 100), IMAGES[:1].expand(5, -1, -1, -1))
        with pytest.raises(IndexError):
            batch_of(rows + 100)
    assert not threads()


def test_images_that_are_on_a_device_already_are_refused() -> None:
    with pytest.raises(ValueError, match="ahead=cpu is for images in main memory: these are on meta"):
        BatchLoader(IMAGES.to("meta"), 5, 0, ahead=CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [5, 1])
def test_batches_for_a_gpu_are_those_of_the_cpu_while_it_computes(size: int) -> None:
    images = torch.randint(0, 256, (64, 3, 128, 128), dtype=torch.uint8)
    plain = BatchLoader(images, size, 1, **AUGMENTED)
    ahead = BatchLoader(images, size, 1, **AUGMENTED, ahead=torch.device("cuda"))
    sums = []
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        for batch in ahead.epoch():
            busy = torch.rand(2048, 2048, device="cuda")
            for _ in range(5):
                busy = busy @ busy
            # Read late, when a buffer that was taken back too early would hold another batch.
            sums.append((batch.long() * torch.arange(128, device="cuda")).sum())
            del batch
    expected = [int((batch.long() * torch.arange(128)).sum()) for batch in plain.epoch()]
    assert [int(total) for total in sums] == expected
