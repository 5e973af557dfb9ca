"""Every epoch serves each image once, and a restored stream continues as it would have without a stop."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from data_io.tiles.loader import _gather_one_by_one

IMAGES = torch.randint(0, 256, (23, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NUMBERED = torch.arange(23, dtype=torch.uint8)[:, None, None, None].expand(23, 3, 8, 8).contiguous()
AUGMENTED: dict[str, Any] = {"flip": True, "rotate": True}


def stream(loader: BatchLoader) -> Iterator[Tensor]:
    while True:
        yield from loader.epoch()


def numbers(batches: list[Tensor]) -> list[int]:
    return [int(image[0, 0, 0]) for batch in batches for image in batch]


@pytest.mark.parametrize("augment", [{}, AUGMENTED])
def test_each_epoch_serves_each_image_once_in_a_new_order(augment: dict[str, Any]) -> None:
    loader = BatchLoader(NUMBERED, 5, seed=0, drop_last=False, **augment)
    epochs = [list(loader.epoch()) for _ in range(3)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
        assert len(batches) == len(loader)
        assert sorted(numbers(batches)) == list(range(23))
    assert len({tuple(numbers(batches)) for batches in epochs}) == 3


def test_dropping_the_last_batch_keeps_all_batches_whole() -> None:
    loader = BatchLoader(NUMBERED, 5, seed=0)
    batches = list(loader.epoch())
    assert [len(batch) for batch in batches] == [5] * 4 == [5] * len(loader)
    assert len(set(numbers(batches))) == 20


@pytest.mark.parametrize("drop_last", [True, False])
def test_fewer_images_than_a_batch_are_one_batch(drop_last: bool) -> None:
    loader = BatchLoader(NUMBERED, 64, seed=0, drop_last=drop_last)
    assert len(loader) == 1
    for _ in range(2):
        (batch,) = loader.epoch()
        assert sorted(numbers([batch])) == list(range(23))


@pytest.mark.parametrize("augment", [{}, {"flip": True}, {"rotate": True}, AUGMENTED])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("served", [0, 1, 3, 4, 5, 7, 12])
def test_a_restored_stream_is_the_one_that_would_have_followed(
    augment: dict[str, Any], drop_last: bool, served: int
) -> None:
    settings = {"drop_last": drop_last, **augment}
    never_stopped = list(itertools.islice(stream(BatchLoader(IMAGES, 5, seed=1, **settings)), 20))
    loader = BatchLoader(IMAGES, 5, seed=1, **settings)
    for _ in itertools.islice(stream(loader), served):
        pass
    restored = BatchLoader(IMAGES, 5, seed=999, **settings)
    restored.load_state_dict(loader.state_dict())
    rest = list(itertools.islice(stream(restored), 20 - served))
    assert all(torch.equal(a, b) for a, b in zip(never_stopped[served:], rest, strict=True))


def test_an_epoch_ends_where_it_would_have_ended_without_the_stop() -> None:
    loader = BatchLoader(IMAGES, 5, seed=1)
    whole = [list(loader.epoch()) for _ in range(2)]
    for served in range(1, 5):
        loader = BatchLoader(IMAGES, 5, seed=1)
        first = list(itertools.islice(loader.epoch(), served))
        restored = BatchLoader(IMAGES, 5, seed=0)
        restored.load_state_dict(loader.state_dict())
        first += list(restored.epoch())
        second = list(restored.epoch())
        for expected, got in zip(whole, (first, second), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


def test_a_saved_state_is_a_copy_that_later_batches_do_not_move() -> None:
    loader = BatchLoader(IMAGES, 5, seed=1, flip=True)
    list(itertools.islice(stream(loader), 2))
    state = loader.state_dict()
    expected = list(itertools.islice(stream(loader), 9))
    for _ in range(2):
        loader.load_state_dict(state)
        again = list(itertools.islice(stream(loader), 9))
        assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))


def test_a_state_survives_a_weights_only_checkpoint(tmp_path: Any) -> None:
    loader = BatchLoader(IMAGES, 5, seed=1)
    list(itertools.islice(stream(loader), 6))
    torch.save(loader.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["epoch"], state["position"]) == (1, 2)
    restored = BatchLoader(IMAGES, 5, seed=0)
    restored.load_state_dict(state)
    assert torch.equal(next(stream(restored)), next(stream(loader)))


def test_the_seed_decides_the_stream_and_the_global_generator_does_not() -> None:
    torch.manual_seed(0)
    one = list(BatchLoader(IMAGES, 5, seed=1, **AUGMENTED).epoch())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    same = list(BatchLoader(IMAGES, 5, seed=1, **AUGMENTED).epoch())
    assert torch.equal(torch.get_rng_state(), before)
    other = list(BatchLoader(IMAGES, 5, seed=2, **AUGMENTED).epoch())
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def symmetries(image: Tensor) -> dict[bytes, str]:
    """The eight mirrored and turned versions of an image, by content."""
    turned = {f"turn{k}": image.rot90(k, (1, 2)) for k in range(4)}
    mirrored = {f"{name} mirrored": version.flip(2) for name, version in turned.items()}
    return {version.numpy().tobytes(): name for name, version in (turned | mirrored).items()}


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ({}, {"turn0"}),
        ({"flip": True}, {"turn0", "turn2", "turn0 mirrored", "turn2 mirrored"}),
        ({"rotate": True}, {"turn0", "turn1", "turn2", "turn3"}),
        (AUGMENTED, {f"turn{k}{m}" for k in range(4) for m in ("", " mirrored")}),
    ],
)
def test_augmentation_gives_exactly_the_promised_symmetries_equally_often(
    augment: dict[str, Any], expected: set[str]
) -> None:
    names = symmetries(IMAGES[0])
    copies = IMAGES[:1].expand(800, 3, 8, 8).contiguous()
    seen = [
        names[image.numpy().tobytes()]
        for batch in BatchLoader(copies, 80, seed=0, **augment).epoch()
        for image in batch
    ]
    assert set(seen) == expected
    for name in expected:
        assert seen.count(name) / 800 == pytest.approx(1 / len(expected), abs=0.06)


def test_images_themselves_are_never_changed() -> None:
    images = IMAGES.clone()
    loader = BatchLoader(images, 5, seed=0, **AUGMENTED)
    for batch in loader.epoch():
        batch.zero_()
    assert torch.equal(images, IMAGES)
    assert loader.images is images


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (BatchLoader(IMAGES[:20], 5, seed=0), "images 20"),
        (BatchLoader(IMAGES, 4, seed=0), "batch_size 4"),
        (BatchLoader(IMAGES, 5, seed=0, flip=True), "flip True"),
        (BatchLoader(IMAGES, 5, seed=0, drop_last=False), "drop_last False"),
    ],
)
def test_a_state_of_other_data_or_settings_is_refused(other: BatchLoader, named: str) -> None:
    with pytest.raises(ValueError, match=f"taken with {named}, but this loader has .*: resume with the same"):
        BatchLoader(IMAGES, 5, seed=0).load_state_dict(other.state_dict())


@pytest.mark.parametrize("change", [{"position": 5}, {"position": -1}, {"epoch": -1}])
def test_a_position_that_does_not_exist_is_refused(change: dict[str, int]) -> None:
    loader = BatchLoader(IMAGES, 5, seed=0)
    with pytest.raises(ValueError, match="does not exist"):
        loader.load_state_dict(loader.state_dict() | change)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (IMAGES.float(), {}, "must be uint8"),
        (IMAGES[0], {}, "must be uint8"),
        (IMAGES[:0], {}, "n >= 1"),
        (IMAGES, {"batch_size": 0}, "batch_size must be at least 1"),
        (IMAGES[:, :, :4], {"rotate": True}, "square images, not 4 x 8"),
    ],
)
def test_unusable_images_or_settings_are_refused(
    images: Tensor, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BatchLoader(images, **({"batch_size": 5, "seed": 0} | settings))


def test_non_square_images_can_be_flipped() -> None:
    (batch,) = BatchLoader(IMAGES[:, :, :4], 23, seed=0, flip=True).epoch()
    assert batch.shape == (23, 3, 4, 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_gpu_are_those_on_the_cpu() -> None:
    on_gpu = BatchLoader(IMAGES.cuda(), 5, seed=0, **AUGMENTED)
    on_cpu = BatchLoader(IMAGES, 5, seed=0, **AUGMENTED)
    for a, b in zip(on_gpu.epoch(), on_cpu.epoch(), strict=True):
        assert a.is_cuda
        assert torch.equal(a.cpu(), b)


def test_both_ways_to_gather_a_batch_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    order, symmetry = torch.randperm(23, generator=generator), torch.randint(2, (23, 3), generator=generator)
    rows = torch.cat([order[:, None], symmetry], 1)
    images = torch.randint(256, (23, 3, 8, 8), dtype=torch.uint8, generator=generator)
    assert torch.equal(_gather_one_by_one(images, rows), BatchLoader.gather(images, rows))
