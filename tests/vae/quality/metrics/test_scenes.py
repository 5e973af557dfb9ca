"""What each metric detects and does not detect, on disjoint halves of the bundled scenes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vae.quality import METRICS, Measured, Metric, measure, memorisation

Damage = Callable[[Tensor, str, int], Tensor]
STEPS = {"blur": (2, 4, 8), "noise": (5, 15, 30), "shift": (5, 10, 20)}


@pytest.fixture(scope="module")
def score(scenes: Any, damage: Damage) -> Callable[..., Measured]:
    """score(metric, kind=None, amount=0): the other half, damaged, against the real one; cached."""
    kept: dict[tuple[Metric, str | None, int], Measured] = {}

    def look_up(metric: Metric, kind: str | None = None, amount: int = 0) -> Measured:
        if (metric, kind, amount) not in kept:
            tiles = damage(scenes.other, kind, amount) if kind else scenes.other
            alike = {name: m for name, m in METRICS.items() if m.features is metric.features}
            for name, m in measure(scenes.real, tiles, metrics=alike, bootstrap=40).items():
                kept[alike[name], kind, amount] = m
        return kept[metric, kind, amount]

    return look_up


def at_floor(m: Measured) -> bool:
    return m.floor_low <= m.value <= m.floor_high


def ranks(score: Callable[..., Measured], metric: Metric, kind: str, lowest: int = 0) -> bool:
    """Whether the steps of the damage are in order, and all from `lowest` on above the floor's interval."""
    measured = [score(metric, kind, amount) for amount in STEPS[kind]]
    values = [m.value for m in measured]
    seen = [
        m.value > m.floor_high for m, amount in zip(measured, STEPS[kind], strict=True) if amount >= lowest
    ]
    return values == sorted(set(values)) and all(seen)


@pytest.mark.parametrize("seed", [0, 1])
def test_two_disjoint_real_halves_score_at_the_floor(scenes: Any, seed: int) -> None:
    both = torch.cat([scenes.real, scenes.other])
    order = torch.randperm(len(both), generator=torch.Generator().manual_seed(seed))
    one, other = both[order].split(len(both) // 2)
    measured = measure(
        one, other, metrics=METRICS | {"memorisation": memorisation(scenes.train)}, bootstrap=60, seed=seed
    )
    assert {name for name, m in measured.items() if not at_floor(m)} == set()
    assert {"swd_64", "swd_32", "swd_16", "spectrum", "colour", "mmd_random", "kid_imagenet"} < set(measured)


@pytest.mark.parametrize("name", ["swd_64", "spectrum"])
@pytest.mark.parametrize("kind", ["blur", "noise"])
def test_the_finest_level_and_the_spectrum_rank_blur_and_noise(score: Any, name: str, kind: str) -> None:
    assert ranks(score, METRICS[name], kind)


@pytest.mark.parametrize(("kind", "lowest"), [("blur", 2), ("noise", 15)])
def test_swd_at_32_px_ranks_blur_and_noise_and_detects_them_from_noise_15_on(
    score: Any, kind: str, lowest: int
) -> None:
    assert ranks(score, METRICS["swd_32"], kind, lowest)
    assert at_floor(score(METRICS["swd_32"], "noise", 5))


@pytest.mark.parametrize("name", ["swd_16", "colour"])
def test_swd_at_16_px_and_colour_detect_a_shift_of_20_and_not_of_5(score: Any, name: str) -> None:
    seen, unseen = score(METRICS[name], "shift", 20), score(METRICS[name], "shift", 5)
    # At 150 tiles the two intervals touch in some halvings.
    assert seen.value > seen.floor_high
    assert at_floor(unseen)


@pytest.mark.parametrize("name", ["swd_16", "colour"])
def test_at_387_tiles_the_interval_of_a_shift_of_20_lies_above_that_of_the_floor(
    all_tiles: Tensor, damage: Damage, name: str
) -> None:
    one, other = all_tiles[:774].split(387)
    m = measure(one, damage(other, "shift", 20), metrics={name: METRICS[name]}, bootstrap=40)[name]
    assert m.low > m.floor_high


@pytest.mark.parametrize("name", ["swd_64", "swd_32", "spectrum"])
def test_detail_metrics_do_not_detect_a_shift_of_20(score: Any, name: str) -> None:
    assert at_floor(score(METRICS[name], "shift", 20))


@pytest.mark.parametrize("kind", ["blur", "noise"])
def test_swd_at_16_px_does_not_detect_blur_or_noise(score: Any, kind: str) -> None:
    assert at_floor(score(METRICS["swd_16"], kind, STEPS[kind][1]))


def test_the_distance_on_random_features_detects_noise_from_15_and_all_blur(score: Any) -> None:
    metric = METRICS["mmd_random"]
    assert score(metric, "noise", 30).low > score(metric).floor_high
    assert ranks(score, metric, "blur")
    assert ranks(score, metric, "noise", 15)


@pytest.mark.parametrize("name", ["density_random", "coverage_random", "coverage_imagenet"])
def test_density_and_coverage_fall_with_blur_and_noise(score: Any, name: str) -> None:
    for kind in ("blur", "noise"):
        measured = [score(METRICS[name], kind, amount) for amount in STEPS[kind]]
        assert measured[0].value > measured[1].value > measured[2].value
        assert measured[2].high < measured[2].floor_low


@pytest.mark.parametrize("features", ["random", "imagenet"])
def test_coverage_and_not_density_detects_ten_tiles_repeated(scenes: Any, features: str) -> None:
    few = scenes.other[:10].repeat(15, 1, 1, 1)
    names = [f"density_{features}", f"coverage_{features}"]
    density, coverage = measure(
        scenes.real, few, bootstrap=40, metrics={n: METRICS[n] for n in names}
    ).values()
    assert coverage.high < coverage.floor_low
    assert density.value > 0.5 * density.floor


@pytest.mark.parametrize(("kind", "lowest"), [("blur", 2), ("noise", 5)])
def test_kid_ranks_blur_and_noise_and_detects_all_of_it(score: Any, kind: str, lowest: int) -> None:
    assert at_floor(score(METRICS["kid_imagenet"]))
    assert ranks(score, METRICS["kid_imagenet"], kind, lowest)


def test_kid_detects_a_shift_of_colour_by_10_and_ranks_it(scenes: Any) -> None:
    red_for_blue = torch.tensor([1, 0, -1]).view(1, 3, 1, 1)
    values = []
    for levels in (10, 20):
        shifted = (scenes.other + levels * red_for_blue).clamp(0, 255).to(torch.uint8)
        metrics = {"kid": METRICS["kid_imagenet"]}
        values.append(measure(scenes.real, shifted, bootstrap=40, metrics=metrics)["kid"])
    assert values[0].floor_high < values[0].value < values[1].value


def test_kid_detects_that_the_brighter_half_is_missing(scenes: Any) -> None:
    dark = scenes.other[scenes.other.float().mean((1, 2, 3)).argsort()[:75]].repeat(2, 1, 1, 1)
    kid = measure(scenes.real, dark, bootstrap=40, metrics={"kid": METRICS["kid_imagenet"]})["kid"]
    assert kid.low > kid.floor_high


def test_diversity_detects_a_collapse_onto_two_tiles_and_the_variety_of_noise(
    scenes: Any, score: Any
) -> None:
    two = scenes.other[:2].repeat(75, 1, 1, 1)
    collapsed = measure(scenes.real, two, bootstrap=40, metrics={"diversity": METRICS["diversity"]})
    assert collapsed["diversity"].low > collapsed["diversity"].floor_high
    assert score(METRICS["diversity"], "noise", 30).value < score(METRICS["diversity"]).floor_low


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("how", ["as they are", "mirrored", "turned", "blurred"])
def test_memorisation_detects_pasted_training_tiles(
    scenes: Any, damage: Damage, share: float, how: str
) -> None:
    pasted = scenes.train[: round(150 * share)]
    if how == "mirrored":
        pasted = pasted.flip(3)
    if how == "turned":
        pasted = pasted.rot90(1, (2, 3))
    if how == "blurred":
        pasted = damage(pasted, "blur", 2)
    samples = torch.cat([scenes.other[len(pasted) :], pasted])
    metrics = {"memorisation": memorisation(scenes.train)}
    m = measure(scenes.real, samples, metrics=metrics, bootstrap=100)["memorisation"]
    assert m.value > m.floor_high
    clean = measure(scenes.real, scenes.other, metrics=metrics, bootstrap=100)["memorisation"]
    assert m.value - clean.value == pytest.approx(0.95 * share, abs=0.05)
