"""Image quality is computed where the model is, and the host waits for it at the end only."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from tests.vae.fake_device import moved
from vae.config import TrainConfig
from vae.model import pixels
from vae.model.network import build_model
from vae.model.pictures import take_pictures
from vae.quality import METRICS, Metric, intervals, memorisation, model, remembering
from vae.quality.intervals import scores_at_once
from vae.quality.metrics import _imagenet, _random_features, _sliced_wasserstein, spectrum
from vae.quality.metrics._kernel_distance import kernel_distance
from vae.quality.metrics._sliced_wasserstein import gap_on_device
from vae.quality.model import model_quality

Small = Callable[..., TrainConfig]
MakeTiles = Callable[..., Tensor]


def random_tiles(count: int, size: int, seed: int = 0) -> Tensor:
    shape = (count, 3, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def halves(count: int, draws: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randperm(count, generator=generator)[: count // 2] for _ in range(draws)])


@pytest.mark.parametrize("name", [*(n for n, metric in METRICS.items() if metric.min_size <= 32), "copies"])
def test_half_samples_scored_at_once_are_those_scored_one_by_one(name: str) -> None:
    real, train = random_tiles(24, 32), random_tiles(24, 32, 2)
    fake = torch.cat([random_tiles(12, 32, 1), random_tiles(12, 32, 3) // 2])
    metric = memorisation(train, 0.5) if name == "copies" else METRICS[name]
    rows, others = torch.split(halves(24, 140), 70)
    one, other = metric.features(real, fake, 0)
    expected = [float(metric.score(one[a], other[b], 0)) for a, b in zip(rows, others, strict=True)]
    if name.startswith("swd"):  # whose score on a CPU is numpy's
        metric = Metric(metric.features, lambda real, fake, seed: gap_on_device(real, fake))
    found = scores_at_once(metric, one, other, rows, others, 0)
    assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert len(set(expected)) > 2


def test_the_random_subsets_of_a_kernel_distance_are_the_same_for_all_half_samples() -> None:
    one = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    score = partial(kernel_distance, subset=10, subsets=3)
    rows, others = torch.split(halves(40, 10), 5)
    expected = [float(score(one[a], one[b], 4)) for a, b in zip(rows, others, strict=True)]
    metric = Metric(lambda real, fake, seed: (real, fake), score)
    assert scores_at_once(metric, one, one, rows, others, 4).tolist() == pytest.approx(expected, rel=1e-9)


class EverythingIsAsked(Exception):
    """The last figures were asked for on the host."""


@pytest.fixture
def without_values(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[Any, Tensor]]]:
    """A device whose tensors have shapes and no values: to read one on the host raises, and so does an
    operation of tensors that are on two devices. Given is what was asked for on the host."""
    asked: list[dict[Any, Tensor]] = []

    def on_host(parts: dict[Any, Tensor]) -> dict[Any, Tensor]:
        asked.append(parts)
        if len(asked) == 2:
            raise EverythingIsAsked
        return parts

    def content_of(images: Tensor) -> Any:
        return b"without values", images.shape

    for module in (intervals, model):
        monkeypatch.setattr(module, "on_host", on_host)
    for module in (remembering, intervals, sys.modules["vae.quality.memorisation"]):
        monkeypatch.setattr(module, "content_of", content_of)
    monkeypatch.setattr(intervals, "_summary", lambda scores: (0.0, 0.0, 0.0))
    monkeypatch.setattr(remembering, "finish", lambda device: None)
    monkeypatch.setattr(remembering, "use_here", lambda tensor: None)
    _imagenet.load_layers()
    _random_features._weights()
    yield asked
    for cached in (
        _imagenet.layers_on,
        _random_features._weights_on,
        _sliced_wasserstein._blur,
        spectrum._window_and_rings,
        pixels._scale,
        sys.modules["vae.quality.memorisation"]._of,
    ):
        cached.cache_clear()
    intervals._known_floors.clear()


def test_nothing_of_image_quality_is_on_the_host_before_its_figures_are(
    small: Small, without_values: list[dict[Any, Tensor]]
) -> None:
    network = build_model(small().model, 0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = moved(network, "cuda")
        test, train = (torch.zeros(n, 3, 32, 32, dtype=torch.uint8, device="cuda") for n in (24, 40))
        with pytest.raises(DataDependentOutputException):
            int(test.sum())
        with pytest.raises(EverythingIsAsked):
            model_quality(network, test, train, draws=5)
    samples, reconstructions = without_values
    names = {name for name, metric in METRICS.items() if metric.min_size <= 32} | {"memorisation"}
    assert samples.keys() == {(name, part) for name in names for part in ("value", "floor")}
    assert reconstructions.keys() == {"psnr", "ssim"}
    assert {figure.device.type for found in without_values for figure in found.values()} == {"cuda"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_quality_on_a_gpu_is_that_on_the_cpu(small: Small, make_tiles: MakeTiles) -> None:
    network, test, train = build_model(small().model, 0), make_tiles(24, seed=2), make_tiles(40)
    expected = model_quality(network, test, train, draws=5)
    network = network.cuda()
    # Convolutions of a GPU round to fewer bits.
    for there in ((test, train), (test.cuda(), train.cuda())):
        found = model_quality(network, *there, draws=5)
        assert found.figures.keys() == expected.figures.keys()
        assert found.figures == pytest.approx(expected.figures, rel=0.03, abs=0.03)
        assert found.kl_per_dim == pytest.approx(expected.kl_per_dim, rel=0.01, abs=1e-3)
    assert found == model_quality(network, test, train, draws=5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pictures_of_a_model_on_a_gpu_are_on_the_cpu(small: Small, make_tiles: MakeTiles) -> None:
    network, tiles = build_model(small().model, 0).cuda(), make_tiles(4)
    pictures = take_pictures(network, tiles.cuda(), torch.randn(4, 6).cuda())
    assert {part.device.type for part in pictures} == {"cpu"}
    assert torch.equal(pictures.originals, tiles)
