"""Intervals where tiles come in groups that look alike, such as neighbours on the ground."""

import pytest
import torch
from torch import Tensor

from vae.quality import Interval, Measured, bootstrap_mean, measure
from vae.quality.intervals import MIN_GROUPS
from vae.quality.metrics import Metric, of_each

GROUPS, EACH = 40, 4
NUMBERS = torch.arange(GROUPS).repeat_interleave(EACH)


def brightness(images: Tensor) -> Tensor:
    return images.float().mean((1, 2, 3))


def mean_gap(real: Tensor, fake: Tensor, seed: int) -> float:
    return float(fake.mean() - real.mean())


GAP = {"gap": Metric(of_each(brightness), mean_gap)}


def flat(values: Tensor) -> Tensor:
    return values.round().to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)


def clustered(seed: int) -> Tensor:
    """Brightness around 128: three quarters of its variance lie between the groups."""
    generator = torch.Generator().manual_seed(seed)
    between = torch.randn(GROUPS, generator=generator).repeat_interleave(EACH)
    return 128 + 20 * (0.75**0.5 * between + 0.5 * torch.randn(GROUPS * EACH, generator=generator))


def independent(seed: int) -> Tensor:
    return 128 + 20 * torch.randn(GROUPS * EACH, generator=torch.Generator().manual_seed(1000 + seed))


def gap(seed: int, groups: Tensor | None) -> Measured:
    real, fake = flat(clustered(seed)), flat(independent(seed))
    return measure(real, fake, metrics=GAP, groups=groups, seed=seed, bootstrap=100)["gap"]


@pytest.mark.parametrize(("groups", "least", "most"), [(NUMBERS, 0.88, 1.0), (None, 0.0, 0.85)])
def test_the_interval_covers_the_truth_when_groups_are_drawn_whole_and_not_otherwise(
    groups: Tensor | None, least: float, most: float
) -> None:
    covered = [m.low <= 0 <= m.high for m in (gap(seed, groups) for seed in range(60))]
    assert least <= sum(covered) / len(covered) <= most


def test_correlated_groups_make_the_interval_and_the_floor_wider() -> None:
    whole, single = gap(0, NUMBERS), gap(0, None)
    assert whole.high - whole.low > 1.15 * (single.high - single.low)
    assert whole.floor_high - whole.floor_low > 1.3 * (single.floor_high - single.floor_low)


def test_a_half_has_whole_groups_but_for_one() -> None:
    halves: list[Tensor] = []

    def keep(real: Tensor, fake: Tensor, seed: int) -> float:
        halves.append(real)
        return 0.0

    values = torch.arange(30) + 100
    groups = torch.tensor([3, 9, 9, 4, 4, 4, *[7] * 6, *[1] * 12, *range(20, 26)])
    metrics = {"keep": Metric(of_each(brightness), keep)}
    measure(flat(values), flat(values), metrics=metrics, groups=groups, bootstrap=20)
    for half in halves[:20]:
        assert len(half) == 15
        inside = torch.isin(values, half.long())
        parted = [g for g in groups.unique() if 0 < inside[groups == g].sum() < (groups == g).sum()]
        assert len(parted) <= 1


def test_the_interval_of_a_mean_covers_the_truth_when_groups_are_drawn_whole() -> None:
    def covers(interval: Interval) -> bool:
        return interval.low <= 128 <= interval.high

    values = [clustered(seed) for seed in range(200)]
    whole = sum(covers(bootstrap_mean(v, groups=NUMBERS)) for v in values) / 200
    single = sum(covers(bootstrap_mean(v)) for v in values) / 200
    assert single < 0.85
    assert whole > 0.9


def test_groups_of_one_are_no_groups() -> None:
    alone, none = gap(1, torch.arange(GROUPS * EACH)), gap(1, None)
    assert alone.high - alone.low == pytest.approx(none.high - none.low, rel=0.3)
    values = clustered(1)
    assert bootstrap_mean(values, groups=torch.arange(len(values))) == bootstrap_mean(values)


def test_too_few_groups_to_halve_are_ignored() -> None:
    few = torch.arange(GROUPS * EACH) % (MIN_GROUPS - 1)
    m = gap(1, few)
    assert (m.low, m.high) != (m.value, m.value)


@pytest.mark.parametrize("groups", [NUMBERS[:-1], NUMBERS.float(), NUMBERS.view(GROUPS, EACH)])
def test_groups_of_another_shape_or_type_are_refused(groups: Tensor) -> None:
    with pytest.raises(ValueError, match="one whole number for each of the 160 real tiles"):
        gap(0, groups)
