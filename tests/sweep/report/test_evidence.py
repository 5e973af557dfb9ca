"""Verdicts on studies whose truth is known: an effect planted, absent, reversed; few seeds and many."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from sweep.report.evidence.border import border_claim
from sweep.report.evidence.claim import Claim
from sweep.report.evidence.contrast import SMALLEST
from sweep.report.evidence.depth import depth_claim, fixed_depth_claim
from sweep.report.evidence.estimate import holm, paired, welch
from sweep.report.evidence.tradeoff import clip_claim, decay_claim
from sweep.store.trials import TrialView
from tests.sweep.report.synthetic import (
    CLIP_FACTORS,
    DEPTHS,
    border_map,
    changed,
    clip_records,
    depth_records,
    distance_records,
)

Make = Callable[[int], list[TrialView]]

DRAWS = 200
MAX_FALSE = 16
MIN_SEEN = 150
MORE = pytest.param(8, marks=pytest.mark.slow)
MANY = pytest.param(20, marks=pytest.mark.slow)


def depth(trials: Sequence[TrialView]) -> Claim:
    return depth_claim(trials, "depth_study")


def both_sides(effect: float) -> dict[int, float]:
    """Every depth but 4 and 5 worse by this much (a logarithm)."""
    return {d: 0.0 if d in (4, 5) else effect for d in DEPTHS}


def verdicts(make: Make, claim: Callable[[list[TrialView]], Claim]) -> Counter[str]:
    return Counter(claim(make(seed)).verdict for seed in range(DRAWS))


@pytest.mark.parametrize("seeds", [3, 5, MORE, 20])
def test_where_depth_does_nothing_the_paradox_is_not_seen(seeds: int) -> None:
    found = verdicts(lambda s: depth_records(s, seeds=seeds), depth)
    assert found["supported"] <= MAX_FALSE
    if seeds == 20:  # so many seeds exclude an effect that matters
        assert found["contradicted"] >= MIN_SEEN


@pytest.mark.parametrize("seeds", [5, MORE])
@pytest.mark.parametrize("side", [DEPTHS[0], DEPTHS[-1]])
def test_one_side_of_the_paradox_is_not_the_whole(seeds: int, side: int) -> None:
    """The hardest absence: the other side is as large as one likes."""
    found = verdicts(lambda s: depth_records(s, {side: 0.5}, seeds), depth)
    assert found["supported"] <= MAX_FALSE


@pytest.mark.parametrize("seeds", [5, MORE, MANY])
def test_a_paradox_of_the_size_that_the_page_says_it_can_see_is_seen(seeds: int) -> None:
    size = said_to_be_seen(lambda s: depth_records(10_000 + s, seeds=seeds), depth)
    found = verdicts(lambda s: depth_records(s, both_sides(size), seeds), depth)
    assert found["supported"] >= MIN_SEEN
    assert size >= SMALLEST


def said_to_be_seen(make: Make, claim: Callable[[list[TrialView]], Claim]) -> float:
    """What pages of 40 studies without an effect say on average (a logarithm)."""
    said = [
        max(f.detectable for f in claim(make(seed)).findings if f.detectable is not None)
        for seed in range(40)
    ]
    return math.log(float(np.mean(said)))


@pytest.mark.parametrize("seeds", [5, MORE, MANY])
def test_a_reversed_paradox_contradicts(seeds: int) -> None:
    found = verdicts(lambda s: depth_records(s, both_sides(-0.1), seeds), depth)
    assert found["contradicted"] >= MIN_SEEN
    assert found["supported"] == 0


def test_a_difference_too_small_to_matter_contradicts_where_many_seeds_see_it() -> None:
    claim = depth(depth_records(0, both_sides(0.02), seeds=60, spread=0.02))
    assert claim.verdict == "contradicted"
    assert "there is a difference" in claim.why


@pytest.mark.parametrize("seeds", [5, MORE, MANY])
def test_clipping_that_does_nothing_costs_nothing(seeds: int) -> None:
    found = verdicts(lambda s: clip_records(s, seeds=seeds), lambda r: clip_claim(r, CLIP_FACTORS))
    assert found["supported"] <= MAX_FALSE


@pytest.mark.parametrize("claim", [clip_claim, decay_claim])
@pytest.mark.parametrize("seeds", [5, MORE])
def test_calming_alone_is_no_tradeoff(
    seeds: int, claim: Callable[[Sequence[TrialView], frozenset[str]], Claim]
) -> None:
    found = verdicts(lambda s: clip_records(s, calming=0.5, seeds=seeds), lambda r: claim(r, CLIP_FACTORS))
    assert found["supported"] <= MAX_FALSE


@pytest.mark.parametrize("claim", [clip_claim, decay_claim])
@pytest.mark.parametrize("seeds", [5, MORE, MANY])
def test_a_tradeoff_of_the_size_that_the_page_says_it_can_see_is_seen(
    seeds: int, claim: Callable[[Sequence[TrialView], frozenset[str]], Claim]
) -> None:
    def judged(trials: Sequence[TrialView]) -> Claim:
        return claim(trials, CLIP_FACTORS)

    size = said_to_be_seen(lambda s: clip_records(10_000 + s, seeds=seeds), judged)
    found = verdicts(lambda s: clip_records(s, size, size, seeds), judged)
    assert found["supported"] >= MIN_SEEN


def test_steadiness_that_improves_quality_contradicts_the_tradeoff() -> None:
    found = verdicts(lambda s: clip_records(s, cost=-0.1, calming=0.3), lambda r: clip_claim(r, CLIP_FACTORS))
    assert found["contradicted"] >= MIN_SEEN


def test_pairs_by_seed_take_out_what_a_seed_shares() -> None:
    trials = clip_records(1, cost=0.1, calming=0.1, spread=0.01, shared=0.5)
    claim = clip_claim(trials, CLIP_FACTORS)
    assert claim.verdict == "supported"
    assert all(finding.contrast.paired for finding in claim.findings)
    rates = [changed(t, params={**t.params, "optim.lr": 1e-3 * (1 + (t.arm == "clip agc"))}) for t in trials]
    unmatched = clip_claim(rates, CLIP_FACTORS)
    assert not any(finding.contrast.paired for finding in unmatched.findings)
    assert unmatched.verdict == "inconclusive"


@pytest.mark.parametrize("seeds", [5, MORE])
def test_a_flat_objective_has_no_best_place_below_the_border(seeds: int) -> None:
    found = verdicts(lambda s: distance_records(s, 0.0, 0.5, seeds), lambda r: border_claim(r, border_map()))
    assert found["supported"] <= MAX_FALSE


def test_the_border_claim_follows_where_the_optimum_lies() -> None:
    near = border_claim(distance_records(0, 0.3, 0.25), border_map())
    assert near.verdict == "supported"
    assert any("0.2" in note and "decades below the border" in note for note in near.notes)
    far = border_claim(distance_records(0, 0.3, 1.5), border_map())
    assert far.verdict == "contradicted"
    assert border_claim(distance_records(0, 0.3, 1.5), None).verdict == "inconclusive"


def test_an_inconclusive_claim_says_how_many_seeds_would_settle_it() -> None:
    """With as many, what is absent is excluded and what is there is seen."""
    few = depth(depth_records(3, seeds=3, spread=0.05))
    assert few.verdict == "inconclusive"
    needed = max(f.seeds_needed for f in few.findings if f.seeds_needed is not None)
    assert f"({needed} in all)" in few.settle
    spread = np.mean(
        [
            f.seeds_needed
            for s in range(40)
            for f in depth(depth_records(s, seeds=5, spread=0.05)).findings
            if f.seeds_needed
        ]
    )
    enough = int(spread)
    there = verdicts(lambda s: depth_records(s, both_sides(SMALLEST), enough, spread=0.05), depth)
    absent = verdicts(lambda s: depth_records(s, None, enough, spread=0.05), depth)
    assert there["supported"] >= MIN_SEEN
    assert absent["contradicted"] >= MIN_SEEN


def test_a_run_that_diverged_never_decides_in_favour_of_its_own_side() -> None:
    def diverge(trials: Sequence[TrialView], depths: Sequence[int]) -> list[TrialView]:
        first = min(t.seed for t in trials if t.seed is not None)
        return [
            changed(t, objective=None, outcome="diverged") if t.depth in depths and t.seed == first else t
            for t in trials
        ]

    worse = depth_records(0, both_sides(0.3), seeds=8)
    assert depth(worse).verdict == "supported"
    assert depth(diverge(worse, (8, 2))).verdict == "supported"
    lost = depth(diverge(worse, (4,)))
    assert lost.verdict == "inconclusive"
    assert "1 of 16 runs of 4 and 5 layers diverged" in lost.why
    better = depth_records(0, both_sides(-0.3), seeds=8)
    assert depth(diverge(better, (4,))).verdict == "contradicted"
    assert depth(diverge(better, (8, 2))).verdict == "inconclusive"


def test_without_confirming_runs_nothing_is_claimed() -> None:
    explored = [changed(t, phase="explore") for t in depth_records(0, both_sides(0.5))]
    for claim in (depth(explored), depth([]), fixed_depth_claim([]), clip_claim([], frozenset())):
        assert claim.verdict == "inconclusive"
        assert claim.settle
        assert claim.findings == ()


def test_the_control_study_is_judged_by_the_best_of_every_depth_and_seed() -> None:
    trials = [
        changed(t, phase="explore", params={**t.params, "seed": t.seed}, number=2 * t.number + extra)
        if not extra
        else changed(
            t,
            phase="explore",
            params={**t.params, "seed": t.seed},
            number=2 * t.number + 1,
            objective=(t.objective or 0) * 3,
        )
        for t in depth_records(0, both_sides(0.2))
        for extra in (0, 1)
    ]
    claim = fixed_depth_claim(trials)
    assert claim.verdict == "supported"
    assert claim.runs == 5 * 4
    assert claim.seeds == 5


def test_a_setting_confirmed_anew_is_not_mixed_with_the_old_one() -> None:
    old = depth_records(0, both_sides(0.3), seeds=2)
    new = [changed(t, attrs={**t.attrs, "setting": "new"}) for t in depth_records(1, seeds=8)]
    assert depth(old + new).as_dict() == depth(new).as_dict()


def test_the_tests_are_those_of_scipy() -> None:
    noise = np.random.default_rng(0)
    a, b = noise.normal(1, 1, 6), noise.normal(0, 3, 9)
    mine, theirs = welch(list(a), list(b)), stats.ttest_ind(a, b, equal_var=False)
    assert mine
    assert mine.p_none == pytest.approx(theirs.pvalue)
    assert mine.interval == pytest.approx(tuple(theirs.confidence_interval()))
    one_sided = stats.ttest_ind(a - 5, b, equal_var=False, alternative="less")
    assert mine.p_at_least(5) == pytest.approx(2 * one_sided.pvalue)
    pairs = paired(dict(enumerate(a)), dict(enumerate(b)))
    assert pairs
    assert pairs.p_none == pytest.approx(stats.ttest_rel(a, b[:6]).pvalue)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_power_is_what_simulation_says() -> None:
    """The published figure: two standard deviations at five seeds are seen with power .77, at six .87."""
    noise = np.random.default_rng(0)
    for seeds, expected in ((5, 0.77), (6, 0.87)):
        estimates = [
            welch(list(noise.normal(2, 1, seeds)), list(noise.normal(0, 1, seeds))) for _ in range(2000)
        ]
        seen = np.mean([e.p_none <= 0.05 and e.difference > 0 for e in estimates if e])
        assert seen == pytest.approx(expected, abs=0.03)
    known = welch([-1.0, 0.0, 1.0, 0.5, -0.5], [-1.0, 0.0, 1.0, 0.5, -0.5])
    assert known
    effect = 2 * known.error * math.sqrt(5 / 2)
    assert known.power(effect, 0.05) == pytest.approx(0.79, abs=0.03)
    assert known.power(known.detectable(0.05, 0.8), 0.05) == pytest.approx(0.8, abs=0.01)


def test_a_claim_is_plain_json() -> None:
    for trials in (depth_records(0), depth_records(0, seeds=2)):
        json.dumps(depth(trials).as_dict(), allow_nan=False)


def test_a_claim_holds_at_any_size_of_the_objective() -> None:
    """Ratios: a hundred times larger losses give the same verdict and effect."""
    trials = depth_records(0, both_sides(0.1))
    scaled = [changed(t, objective=100 * (t.objective or 0)) for t in trials]
    first, second = depth(trials), depth(scaled)
    assert first.verdict == second.verdict
    for a, b in zip(first.findings, second.findings, strict=True):
        assert a.ratio == pytest.approx(b.ratio)
