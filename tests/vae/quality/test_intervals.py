"""What is measured, and the intervals."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vae.quality import METRICS, Metric, bootstrap_mean, measure, of_each
from vae.quality.metrics import remembered


def brightness(images: Tensor) -> Tensor:
    return images.float().mean((1, 2, 3))


def mean_gap(real: Tensor, fake: Tensor, seed: int) -> float:
    return float(fake.mean() - real.mean())


GAP = {"gap": Metric(of_each(brightness), mean_gap)}


def flat(values: Tensor) -> Tensor:
    """One flat tile of 16 px per value."""
    return values.round().to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)


def random_tiles(count: int, size: int, seed: int = 0) -> Tensor:
    shape = (count, 3, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_a_metric_of_two_functions_is_measured_with_its_floor() -> None:
    grey = 100 + 10 * torch.randn(200, generator=torch.Generator().manual_seed(0))
    m = measure(flat(grey), flat(grey.flip(0) + 7), metrics=GAP)["gap"]
    assert m.value == pytest.approx(7, abs=0.5)
    assert m.low < 7 < m.high
    assert m.floor == pytest.approx(0, abs=0.5)
    assert m.floor_low < 0 < m.floor_high


def test_the_interval_of_a_mean_is_its_standard_error_at_all_tiles() -> None:
    real, fake = 120 + 15 * torch.randn(2, 300, generator=torch.Generator().manual_seed(1))
    m = measure(flat(real), flat(fake), metrics=GAP, bootstrap=2000)["gap"]
    error = math.sqrt(float(real.var() + fake.var()) / 300)
    assert m.high - m.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_floor_interval_is_what_two_fresh_sets_of_half_the_number_score() -> None:
    real, fake = 120 + 15 * torch.randn(2, 300, generator=torch.Generator().manual_seed(1))
    m = measure(flat(real), flat(fake), metrics=GAP, bootstrap=2000)["gap"]
    assert m.floor_high - m.floor_low == pytest.approx(
        2 * 1.96 * float(real.std()) * math.sqrt(2 / 150), rel=0.1
    )


def test_the_interval_of_a_bootstrapped_mean_is_its_standard_error() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) + 30
    interval = bootstrap_mean(values)
    assert interval.value == pytest.approx(float(values.mean()), rel=1e-6)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * float(values.std()) / 20, rel=0.1)


def test_the_halves_are_disjoint_and_as_many_as_the_samples() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(real: Tensor, fake: Tensor, seed: int) -> float:
        seen.append((real, fake))
        return 0.0

    real, fake = flat(torch.arange(0, 41)), flat(torch.arange(100, 130))
    measure(real, fake, metrics={"keep": Metric(of_each(brightness), keep)}, bootstrap=30)
    for one, other in seen:
        assert len(one) == len(other) == 15
        assert len(set(one.tolist()) | set(other.tolist())) == 30, "a tile is met twice"
    assert sum(bool(other.min() >= 100) for _, other in seen) == 30, "half are floors"
    assert len({tuple(sorted(one.tolist())) for one, _ in seen}) == 30, "and every halving is another"


def test_metrics_that_share_features_process_images_once() -> None:
    calls: list[int] = []

    def counted(images: Tensor) -> Tensor:
        calls.append(len(images))
        return brightness(images)

    features = of_each(counted)
    metrics = {"one": Metric(features, mean_gap), "two": Metric(features, mean_gap)}
    measure(random_tiles(8, 16), random_tiles(8, 16, 1), metrics=metrics, bootstrap=5)
    assert calls == [8, 8]


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (16, {"swd_16"}),
        (31, {"swd_16"}),
        (32, {"swd_16", "swd_32"}),
        (45, {"swd_16", "swd_32"}),
        (64, {"swd_16", "swd_32", "swd_64"}),
        (224, {"swd_16", "swd_32", "swd_64", "swd_128"}),
    ],
)
def test_any_tile_size_gets_the_levels_it_has_and_every_other_metric(size: int, levels: set[str]) -> None:
    measured = measure(random_tiles(12, size), random_tiles(12, size, 1), bootstrap=2)
    assert {name for name in measured if name.startswith("swd")} == levels
    assert set(METRICS) - set(measured) == {n for n in METRICS if n.startswith("swd")} - levels
    assert all(math.isfinite(number) for m in measured.values() for number in m)


def test_the_same_seed_gives_the_same_numbers_and_leaves_torch_alone() -> None:
    real, fake = random_tiles(16, 32), random_tiles(16, 32, 1)
    torch.manual_seed(5)
    one = measure(real, fake, bootstrap=5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert measure(real, fake, bootstrap=5) == one
    assert measure(real, fake, bootstrap=5, seed=1) != one


@pytest.mark.parametrize("name", [n for n, metric in METRICS.items() if metric.min_size <= 32])
def test_every_metric_is_a_function_of_real_fake_and_seed(name: str) -> None:
    real, fake = random_tiles(16, 32), random_tiles(16, 32, 1)
    assert METRICS[name](real, fake, 3) == METRICS[name](real, fake, 3)
    assert math.isfinite(METRICS[name](real, fake))


@pytest.mark.parametrize("name", [n for n, metric in METRICS.items() if metric.min_size <= 32])
def test_a_set_of_one_flat_colour_still_has_a_number(name: str) -> None:
    assert math.isfinite(METRICS[name](random_tiles(16, 32), torch.zeros(16, 3, 32, 32, dtype=torch.uint8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.float(), "uint8"),
        (lambda x: x[:, :1], "uint8 tiles, not"),
        (lambda x: x[..., :20], "square"),
        (lambda x: x[..., :8, :8], "16 px or more"),
        (lambda x: x[..., :24, :24], "32 px wide and the others 24 px"),
        (lambda x: x[:1], "two fake tiles or more"),
    ],
)
def test_a_wrong_set_of_tiles_is_refused_with_the_reason(
    change: Callable[[Tensor], Tensor], message: str
) -> None:
    real = random_tiles(8, 32)
    with pytest.raises(ValueError, match=message):
        measure(real, change(real))
    with pytest.raises(ValueError, match=message):
        METRICS["colour"](real, change(real))


def test_unequal_numbers_and_too_few_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match="equal numbers: there are 8 real tiles and 6"):
        METRICS["colour"](random_tiles(8, 16), random_tiles(6, 16))
    with pytest.raises(ValueError, match="4 tiles or more"):
        measure(random_tiles(8, 16), random_tiles(3, 16))
    with pytest.raises(ValueError, match="at least 64 px"):
        METRICS["swd_64"](random_tiles(8, 32), random_tiles(8, 32))


def test_the_rows_of_a_set_are_remembered_by_its_pixels() -> None:
    looked_at: list[int] = []

    def rows(images: Tensor, seed: int) -> Tensor:
        looked_at.append(len(images))
        return brightness(images) + seed

    of = remembered(rows)
    one, other = random_tiles(4, 16), random_tiles(5, 16, seed=1)
    assert torch.equal(of(one, 0), brightness(one))
    assert torch.equal(of(one.clone(), 0), brightness(one))
    assert looked_at == [4], "the same pixels are not looked at again"
    assert torch.equal(of(one, 1), brightness(one) + 1)
    assert torch.equal(of(other, 1), brightness(other) + 1)
    changed = other.clone()
    changed[0, 0, 0, 0] ^= 1
    assert torch.equal(of(changed, 1), brightness(changed) + 1)
    assert looked_at == [4, 4, 5, 5]


def test_the_floor_of_a_real_set_is_measured_once_and_is_the_same_as_alone() -> None:
    scored: list[int] = []

    def counted(real: Tensor, fake: Tensor, seed: int) -> float:
        scored.append(len(real))
        return mean_gap(real, fake, seed)

    metrics = {"gap": Metric(of_each(brightness), counted)}
    real, one, other = (random_tiles(12, 16, seed=seed) for seed in range(3))
    first = measure(real, one, metrics=metrics, bootstrap=5)["gap"]
    assert len(scored) == 5 + 5
    second = measure(real, other, metrics=metrics, bootstrap=5)["gap"]
    assert len(scored) == 5 + 5 + 5, "the floor is known"
    assert second.value != first.value
    assert second[3:] == first[3:]
    fresh = Metric(of_each(brightness), mean_gap)
    assert measure(real, other, metrics={"gap": fresh}, bootstrap=5)["gap"] == second


@pytest.mark.parametrize("changed", ["tiles", "seed", "bootstrap", "count"])
def test_a_floor_is_measured_anew_for_other_tiles_seeds_and_numbers(changed: str) -> None:
    real, fake = random_tiles(12, 16), random_tiles(12, 16, seed=1)
    measure(real, fake, metrics=GAP, bootstrap=5)
    others = {
        "tiles": lambda metrics: measure(random_tiles(12, 16, seed=2), fake, metrics=metrics, bootstrap=5),
        "seed": lambda metrics: measure(real, fake, metrics=metrics, bootstrap=5, seed=3),
        "bootstrap": lambda metrics: measure(real, fake, metrics=metrics, bootstrap=6),
        "count": lambda metrics: measure(real, fake[:8], metrics=metrics, bootstrap=5),
    }
    fresh = {"gap": Metric(of_each(brightness), mean_gap)}
    assert others[changed](GAP) == others[changed](fresh)
