"""What is remembered of a set of images is computed once, whichever threads ask."""

import time
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from vae.quality import measure
from vae.quality.remembering import SETS, content_of, remembered


def random_tiles(count: int, seed: int = 0) -> Tensor:
    shape = (count, 3, 16, 16)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_threads_that_ask_at_once_get_one_result_a_set() -> None:
    looked_at: list[int] = []

    def rows(images: Tensor, power: int) -> Tensor:
        looked_at.append(len(images))
        time.sleep(0.01)
        return images.double().mean((1, 2, 3)) ** power

    of = remembered(rows)
    sets = [random_tiles(4 + seed, seed) for seed in range(SETS)]
    asked = [(images, power) for images in sets for power in (1, 2)] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ask: of(ask[0].clone(), ask[1]), asked))
    assert sorted(looked_at) == sorted(2 * [len(images) for images in sets])
    for (images, power), values in zip(asked, found, strict=True):
        assert torch.equal(values, rows(images, power))


def test_no_more_than_the_last_sets_are_kept() -> None:
    looked_at: list[int] = []

    def rows(images: Tensor) -> Tensor:
        looked_at.append(len(images))
        return images.double()

    of = remembered(rows)
    sets = [random_tiles(4 + seed, seed) for seed in range(SETS + 1)]
    for images in (*sets, sets[-1], sets[0]):
        of(images)
    assert looked_at == [len(images) for images in (*sets, sets[0])]


def test_images_that_are_changed_in_place_are_other_images() -> None:
    images = random_tiles(4)
    before = content_of(images)
    assert content_of(images) == before == content_of(images.clone())
    images[0, 0, 0, 0] ^= 1
    assert content_of(images) != before
    with torch.inference_mode():
        assert content_of(random_tiles(4)) == before


def test_metrics_measured_in_threads_are_those_measured_alone() -> None:
    sets = [(random_tiles(16, seed), random_tiles(16, seed + 50)) for seed in range(3)]

    def measured(pair: tuple[Tensor, Tensor]) -> object:
        return measure(*pair, bootstrap=1)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(measured, sets * 2))
    assert found == [measured(pair) for pair in sets * 2]
