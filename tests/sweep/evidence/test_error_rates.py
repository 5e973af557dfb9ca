"""Simulated studies through the code that judges real ones; docs/evidence.md has the slow tests' figures."""

import numpy as np
import pytest
from scipy import stats

from sweep.evidence import judge_blocks
from sweep.evidence.decide import CONTRADICTED, SUPPORTED, UNDECIDED, decide_blocks, pose
from sweep.evidence.looks import LOOKS
from sweep.study.claims import TEST_LOSS, Claim
from tests.sweep.evidence.simulation import (
    COLUMN_WORLDS,
    DESIGNS,
    ONE,
    Design,
    columns_decided,
    columns_false_rates,
    false_rates,
    power,
)
from tests.sweep.evidence.worlds import WORLDS, World

FEW, MANY = 200, 2_000
MEASURED = 0.043
"""The worst rate of a false verdict in the slow tests."""
AT_MOST = stats.binom.ppf(0.999, FEW, MEASURED) / FEW
"""Of few draws: exceeded in one of a thousand runs where the rate is that."""


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_false_verdicts_are_rare(world: World) -> None:
    assert max(false_rates(ONE, world, FEW)) <= AT_MOST


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_false_verdicts_are_rare_in_any_design(design: Design) -> None:
    rates = [false_rates(design, World("", tuned=True, halved=True, diverge=0.1), FEW)]
    assert np.max(rates) <= AT_MOST


@pytest.mark.parametrize("seeds", [3, 5])
def test_false_verdicts_are_rare_in_columns(seeds: int) -> None:
    assert max(columns_false_rates(World("", spread=3), seeds, FEW)) <= AT_MOST


def test_real_differences_are_found() -> None:
    for world, look, least in (
        (World(""), 9, 0.9),
        (World("", fail=0.1), 13, 0.85),
        (World("", diverge=0.1), 13, 0.85),
        (World("", diverge=0.3), 20, 0.65),
    ):
        found = power(ONE, world, 1.2, FEW)[LOOKS.index(look)]
        assert found >= stats.binom.ppf(0.001, FEW, least) / FEW


def test_in_columns_a_difference_is_found() -> None:
    assert np.mean(columns_decided(World(""), 5, np.log(1.2), np.log(1.2), FEW) == SUPPORTED) > 0.9


def test_looking_again_does_not_change_what_was_decided() -> None:
    rng = np.random.default_rng(0)
    worse, better = rng.normal(0.2, 0.2, (FEW, 20, 1)), rng.normal(0, 0.2, (FEW, 20, 2))
    (asked,) = ONE.contrasts
    early = decide_blocks([pose(asked, np.exp(worse[:, :9]), np.exp(better[:, :9]), "lower")], draws=999)
    late = decide_blocks([pose(asked, np.exp(worse), np.exp(better), "lower")], draws=999)
    was = early.verdict != 0
    assert was.any()
    assert not was.all()
    assert np.array_equal(early.verdict[was], late.verdict[was])
    assert np.array_equal(early.look[was], late.look[was])


def test_what_is_simulated_is_what_judges_a_real_study() -> None:
    effects = {"4": 0.0, "5": 0.0, "8": 0.1}
    drawn = World("", diverge=0.1).draw(effects, (), 20, 20, np.random.default_rng(1))
    sides = [np.stack([drawn[arm] for arm in arms], axis=2) for arms in (("8",), ("4", "5"))]
    simulated = decide_blocks([pose(ONE.last, sides[0], sides[1], "lower")])
    claim = Claim(key="depth", title="", statement="", contrasts=ONE.contrasts, endpoints=(TEST_LOSS,))
    words = {SUPPORTED: "supported", CONTRADICTED: "contradicted", UNDECIDED: "inconclusive"}
    for study in range(20):
        values = {arm: dict(enumerate(map(float, runs[study]))) for arm, runs in drawn.items()}
        (judged,) = judge_blocks(claim, {TEST_LOSS.key: values})
        assert judged.verdict == words[int(simulated.verdict[study])]
        assert judged.look == simulated.look[study]
        assert judged.findings[0].p == pytest.approx(simulated.p[study, 0])


@pytest.mark.slow
def test_false_verdicts_are_one_in_twenty_at_most() -> None:
    rates = [rate for world in WORLDS for design in DESIGNS for rate in false_rates(design, world, MANY)]
    rates += [
        rate
        for world in COLUMN_WORLDS
        for seeds in (3, 5)
        for rate in columns_false_rates(world, seeds, MANY)
    ]
    assert sorted(rates)[-2] <= 0.05
    assert max(rates) <= 0.06


@pytest.mark.slow
def test_power_is_what_the_looks_are_for() -> None:
    at = {look: place for place, look in enumerate(LOOKS)}
    assert power(ONE, World(""), 1.2, MANY)[at[9]] >= 0.9
    assert power(ONE, World("", fail=0.1), 1.2, MANY)[at[13]] >= 0.85
    assert power(ONE, World("", diverge=0.1), 1.2, MANY)[at[13]] >= 0.85
    assert power(ONE, World("", diverge=0.3), 1.2, MANY)[at[20]] >= 0.65
    assert power(ONE, World("", tuned=True, halved=True), 1.2, MANY)[at[9]] >= 0.85
    assert power(ONE, World(""), 0.9, MANY, CONTRADICTED)[at[13]] >= 0.85
