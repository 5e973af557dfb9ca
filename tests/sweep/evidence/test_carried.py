"""Whether a rate carries over: right where the losses are known, and silent where they cannot say."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from sweep.evidence.carried import best_rate, carried, one_rates
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Plan, load_study
from tests.sweep.report.synthetic import made_trial

PLAN = load_study("transfer_study").plan("laptop")
SMALL, LARGE = PLAN.carries[0][0], PLAN.carries[0][-1]
assert PLAN.blocks is not None
RATES = sorted(float(rate) for rate in PLAN.blocks.grid["optim.lr"])


def valley(at: float, depth: float = 100.0) -> Callable[[float], float]:
    """log loss is a parabola in log rate."""
    return lambda rate: depth * math.exp(0.1 * (math.log10(rate) - at) ** 2)


def block(number: int, losses: Mapping[str, Callable[[float], float]]) -> list[TrialView]:
    """A run at each rate for each arm; an infinite loss is a divergence."""
    return [
        made_trial(
            1000 * number + 100 * at + point,
            objective=loss(rate) if math.isfinite(loss(rate)) else None,
            settings={"optim.lr": rate},
            outcome="budget" if math.isfinite(loss(rate)) else "diverged",
            phase=BLOCK,
            arm=arm,
            block=number,
            point=point,
            points=len(RATES),
        )
        for at, (arm, loss) in enumerate(losses.items())
        for point, rate in enumerate(RATES)
    ]


def two(plan: Plan = PLAN) -> Plan:
    return plan.model_copy(update={"carries": ((SMALL, LARGE),)})


@pytest.mark.parametrize("at", [-3.4, -3.0, -2.61])
def test_the_best_rate_of_a_parabola_is_its_vertex_wherever_the_grid_lies(at: float) -> None:
    found = best_rate({rate: valley(at)(rate) for rate in RATES})
    assert found == pytest.approx(10**at)


def test_a_best_rate_at_an_end_is_not_known_and_a_diverged_neighbour_is_as_bad_as_the_worst() -> None:
    assert best_rate({rate: valley(-6)(rate) for rate in RATES}) is None
    assert best_rate(dict.fromkeys(RATES, math.inf)) is None
    losses = {1e-4: 130.0, 1e-3: 100.0, 1e-2: math.inf}
    assert best_rate(losses) == pytest.approx(1e-3)


def test_distance_and_cost_are_means_over_blocks_with_their_intervals() -> None:
    apart = (0.5, 0.7, 0.6)
    trials = [
        t
        for number, by in enumerate(apart)
        for t in block(number, {SMALL: valley(-2.6), LARGE: valley(-2.6 - by)})
    ]
    (found,) = carried(two(), trials)
    assert (found.source, found.target, found.blocks) == (SMALL, LARGE, 3)
    assert found.decades is not None
    assert found.cost is not None
    half = 4.302653 * np.std(apart, ddof=1) / math.sqrt(3)
    assert found.decades == pytest.approx((-0.6, -0.6 - half, -0.6 + half), abs=1e-6)
    chosen = min(RATES, key=valley(-2.6))
    costs = [valley(-2.6 - by)(chosen) / min(map(valley(-2.6 - by), RATES)) - 1 for by in apart]
    assert found.cost[0] == pytest.approx(np.mean(costs))
    assert "3 blocks" in str(found)
    assert "-0.60 decades apart" in str(found)


def test_rates_that_diverge_in_the_other_and_bests_at_an_end_are_counted() -> None:
    def breaks(rate: float) -> float:
        return math.inf if rate > 2e-3 else valley(-3)(rate)

    trials = [t for k in range(2) for t in block(k, {SMALL: valley(-2), LARGE: breaks})]
    trials += block(2, {SMALL: valley(0), LARGE: valley(-3)})
    (found,) = carried(two(), trials)
    assert (found.blocks, found.diverged, found.at_ends) == (3, 2, 1)
    assert found.cost is None  # of one block
    assert "diverges in 2 blocks" in str(found)


def test_one_rate_for_all_is_chosen_on_other_blocks_than_those_that_it_is_valued_in() -> None:
    """Three blocks like a low rate, one a high one: there the rate that the others choose is paid for."""
    bests = (-3.0, -3.0, -3.0, -2.4)
    trials = [t for k, at in enumerate(bests) for t in block(k, {SMALL: valley(at), LARGE: valley(at)})]
    (found,) = one_rates(two(), trials)
    assert found.rate == pytest.approx(1e-3)
    last = valley(-2.4)(1e-3) / min(map(valley(-2.4), RATES)) - 1
    first = valley(-3.0)(2.15e-3) / min(map(valley(-3.0), RATES)) - 1  # what -3.0 and -2.4 agree on
    assert found.cost[0] == pytest.approx(np.mean([first, first, first, last]))
    assert str(found).startswith(f"one rate for {SMALL}, {LARGE}: 0.001, which costs")
    assert one_rates(two(), [t for t in trials if t.block in (0, 3)]) == []
    assert one_rates(None, trials) == []


def test_nothing_is_said_without_blocks_that_both_have_finished_or_a_plan_that_asks() -> None:
    alone = block(0, {SMALL: valley(-3)})
    assert carried(two(), alone) == []
    assert carried(two(), [*alone, *block(1, {LARGE: valley(-3)})]) == []
    assert carried(None, alone) == []
    assert carried(PLAN.model_copy(update={"carries": ()}), alone) == []


def test_a_group_that_names_no_arm_is_refused() -> None:
    with pytest.raises(ValueError, match="carries names 'depth 99'"):
        Plan.model_validate(PLAN.model_dump() | {"carries": ((SMALL, "depth 99"),)})


def test_a_plan_of_some_of_its_arms_asks_about_those() -> None:
    """And is whole: a worker reads it from the store."""
    narrowed = PLAN.with_settings({"optim.parametrisation": "mup"})
    assert narrowed.carries == PLAN.carries[1:]
    assert Plan.model_validate_json(narrowed.model_dump_json()) == narrowed
    alone = PLAN.with_settings({"optim.parametrisation": "mup", "model.base_channels": 64})
    assert alone.carries == (("mup depth 2 width 64", "mup depth 8 width 64"),)
