"""Learning-rate sensitivity over a grid: right where the losses are known, with an interval over blocks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from sweep.evidence.sensitivity import FIRST_LOSS, arm_sensitivities, excesses
from sweep.report.claims import arm_rows
from sweep.report.figures.grid_sensitivity import grid_sensitivity
from sweep.store.trials import BLOCK, TrialView
from sweep.study import load_study
from tests.sweep.report.synthetic import made_trial

PLAN = load_study("depth_study").plan("laptop")
RATES = (1e-4, 3e-4, 1e-3, 3e-3)


def block(
    number: int,
    losses: Sequence[float | None],
    arm: str = "depth 8",
    first: float | None = 1000.0,
    **more: Any,
) -> list[TrialView]:
    """A run at each rate; a loss of None is a divergence."""
    return [
        made_trial(
            100 * number + point,
            objective=loss,
            settings={"optim.lr": rate},
            attrs={} if first is None else {FIRST_LOSS: first},
            outcome="diverged" if loss is None else "budget",
            **{"phase": BLOCK, "arm": arm, "block": number, "point": point, "points": len(RATES)} | more,
        )
        for point, (rate, loss) in enumerate(zip(RATES, losses, strict=False))
    ]


def test_it_is_the_mean_of_what_is_lost_with_no_loss_above_that_at_initialisation() -> None:
    found = excesses({1e-4: 120.0, 1e-3: 100.0, 1e-2: 400.0, 1e-1: math.inf}, start=150.0)
    assert found == {1e-4: 20.0, 1e-3: 0.0, 1e-2: 50.0, 1e-1: 50.0}
    assert excesses({1e-4: 120.0, 1e-3: 100.0}, start=90.0) == {1e-4: 0.0, 1e-3: 0.0}
    assert excesses({1e-4: math.inf}, start=1.0) == {}


def test_a_parabola_in_log_rate_has_the_sensitivity_of_its_integral() -> None:
    """best + c x^2 over x log-uniform within a of the best: c a^2 / 3, as the grid gets fine."""
    curvature, reach, best = 7.0, 1.5, 100.0
    grid = np.linspace(-reach, reach, 2001)
    found = excesses({float(10**x): best + curvature * x**2 for x in grid}, start=1e9)
    assert np.mean(list(found.values())) == pytest.approx(curvature * reach**2 / 3, rel=1e-2)


def test_an_arm_has_the_mean_over_blocks_with_its_t_interval() -> None:
    trials = [t for k in range(3) for t in block(k, (100 + 8 * k, 100, 100 + 8 * k, None), first=150.0)]
    (found,) = arm_sensitivities(PLAN, trials)
    each = [(0 + 0 + 0 + 50) / 400, (8 + 0 + 8 + 50) / 400, (16 + 0 + 16 + 50) / 400]
    half = 4.302653 * np.std(each, ddof=1) / math.sqrt(3)
    assert (found.arm, found.blocks, found.lost, found.start_known) == ("depth 8", 3, 0, True)
    assert found.relative == pytest.approx((np.mean(each), np.mean(each) - half, np.mean(each) + half))
    assert found.excess[0] == pytest.approx(100 * np.mean(each))
    assert [r.rate for r in found.rates] == list(RATES)
    assert [r.diverged for r in found.rates] == [0, 0, 0, 3]
    assert found.rates[3].relative == pytest.approx(0.5)


def test_a_run_that_was_ended_at_the_rung_counts_by_its_best_until_then() -> None:
    trials = [t for k in range(2) for t in block(k, (100.0, 110.0, 120.0))]
    for k in range(2):
        (ended,) = block(k, (160.0,), state=TrialState.PRUNED, point=3)
        ended.stored.user_attrs["settings"] = '{"optim.lr": 0.003}'
        ended.stored.intermediate_values.update({1: 200.0, 2: 140.0, 3: 160.0})
        trials.append(ended)
    (found,) = arm_sensitivities(PLAN, trials)
    assert found.relative[0] == pytest.approx((0 + 0.1 + 0.2 + 0.4) / 4)
    assert [r.ended_early for r in found.rates] == [0, 0, 0, 2]


def test_a_block_in_which_all_diverged_is_counted_and_one_that_is_not_finished_is_not() -> None:
    trials = [t for k in range(2) for t in block(k, (100.0, 110.0, 120.0, 130.0))]
    trials += block(2, (None,) * 4) + block(3, (100.0, 110.0, 120.0))
    (found,) = arm_sensitivities(PLAN, trials)
    assert (found.blocks, found.lost) == (2, 1)
    assert found.relative[0] == pytest.approx(0.15)


def test_without_a_recorded_start_a_divergence_counts_as_the_worst_finite_run() -> None:
    trials = [t for k in range(2) for t in block(k, (100.0, 110.0, 150.0, None), first=None)]
    (found,) = arm_sensitivities(PLAN, trials)
    assert not found.start_known
    assert found.rates[3].relative == pytest.approx(0.5)


def test_one_block_or_one_rate_or_no_plan_gives_none() -> None:
    assert arm_sensitivities(PLAN, block(0, (100.0, 110.0, 120.0, 130.0))) == []
    alone = [t for k in range(3) for t in block(k, (100.0,), points=1)]
    assert arm_sensitivities(PLAN, alone) == []
    assert arm_sensitivities(None, alone) == []
    assert grid_sensitivity(alone, PLAN) is None


def test_the_report_has_it_as_a_figure_and_beside_each_arm() -> None:
    trials = [t for k in range(3) for t in block(k, (100.0, 101.0, 102.0 + k, 105.0))]
    trials += [t for k in range(3) for t in block(k, (100.0, 120.0, 140.0 + k, None), arm="depth 2")]
    figure = grid_sensitivity(trials, PLAN)
    assert figure is not None
    assert figure.of_search
    assert figure.finding.startswith("Over the grid, depth 2 loses most")
    shown = {row["arm"]: row["relative"] for row in figure.numbers["arms"]}
    in_table = {row.arm: row.sensitivity for row in arm_rows(PLAN, trials) if row.sensitivity}
    assert in_table == shown
    assert shown.keys() == {"depth 2", "depth 8"}
