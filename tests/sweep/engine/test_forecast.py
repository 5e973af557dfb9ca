"""What a run says of its blocks before it has them."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from sweep.engine import forecast
from sweep.engine.options import Options
from sweep.engine.planning import CPU_BUDGET_S, time_for_blocks
from sweep.evidence.looks import LOOKS
from sweep.evidence.power import detectable
from sweep.store.trials import BLOCK, TrialView
from sweep.study import load_study
from tests.sweep.report.synthetic import made_trial

PLAN = load_study("depth_study").plan("laptop")
RUNS = sum(len(PLAN.tried_in_block(arm)) for arm in PLAN.block_arms())


def timed(number: int, seconds: float, **facts: Any) -> TrialView:
    """A finished trial that took so many seconds."""
    trial = made_trial(number, objective=1.0, outcome="budget", **facts)
    trial.stored.datetime_start = datetime(2026, 1, 1)
    trial.stored.datetime_complete = datetime(2026, 1, 1) + timedelta(seconds=seconds)
    return trial


def test_a_block_costs_what_runs_of_blocks_did_and_before_that_what_explored_trials_did() -> None:
    explored = [timed(0, 10.0, epochs=PLAN.base.epochs // 2)]
    assert forecast.seconds_of_a_block(PLAN, explored) == pytest.approx(RUNS * 20)
    ran = [*explored, timed(1, 6.0, phase=BLOCK, block=0), timed(2, 2.0, phase=BLOCK, block=0)]
    assert forecast.seconds_of_a_block(PLAN, ran) == pytest.approx(RUNS * 4)


def test_blocks_that_are_begun_fit_however_little_time_is_left() -> None:
    ran = [timed(0, 4.0, phase=BLOCK, block=0)]
    assert forecast.blocks_that_fit(PLAN, ran, 2, seconds_left=0.0) == 1
    assert forecast.blocks_that_fit(PLAN, ran, 2, seconds_left=-5.0) == 1
    assert forecast.blocks_that_fit(PLAN, ran, 2, seconds_left=3 * RUNS * 4 / 2) == 4
    assert forecast.blocks_that_fit(PLAN, ran, 2, seconds_left=None) is None
    assert forecast.blocks_that_fit(PLAN, [], 2, seconds_left=10.0) is None


def test_where_the_time_is_too_short_the_next_look_has_its_budget() -> None:
    ran = [timed(0, 60.0, phase=BLOCK, block=0)]
    said = forecast.foretell(PLAN, ran, 2, seconds_left=60.0)
    assert f"{RUNS} runs each, about 8 min" in said
    assert "there is time for 1; 6 want --budget 48m" in said
    assert "after 6, 9, 13 and 20 of them, which see effects of 22, 19, 13 and 10 %" in said
    assert "there is time" not in forecast.foretell(PLAN, ran, 2, seconds_left=None)
    assert "--budget" not in forecast.foretell(PLAN, ran, 2, seconds_left=36_000.0)
    assert forecast.foretell(PLAN, [], 2, None) == ""


def test_a_plan_with_too_few_blocks_for_a_look_says_so() -> None:
    assert PLAN.blocks
    short = PLAN.model_copy(update={"blocks": PLAN.blocks.model_copy(update={"most": 2})})
    ran = [timed(0, 60.0, phase=BLOCK, block=0)]
    assert "has 2 at most, and claims are looked at after 6" in forecast.foretell(short, ran, 2, None)


def test_pairs_of_arms_are_not_said_to_be_decided_before_they_can_be() -> None:
    said = forecast.looks(load_study("rate_study").plan("laptop"))
    assert "after 9, 13 and 20 of them, which see effects of 16, 13 and 10 %" in said


def test_budgets_are_no_shorter_than_the_time_they_are_for() -> None:
    assert [forecast.budget(s) for s in (1, 61, 3599, 3600, 5401)] == ["1m", "2m", "1h", "1h", "2h"]
    assert [forecast.duration(s) for s in (40, 91, 6000)] == ["40 s", "2 min", "1.7 h"]


@pytest.mark.slow
def test_the_effects_that_a_run_says_it_sees_are_those_that_it_sees() -> None:
    for look in LOOKS:
        seen = detectable(look, forecast.SPREAD, sides=(1, 2), contrasts=2)
        assert seen == pytest.approx(forecast.SEEN[look], abs=0.012)
        of_pairs = detectable(look, forecast.SPREAD, sides=(1, 1))
        assert of_pairs == pytest.approx(forecast.SEEN_BY_PAIRS.get(look), abs=0.012)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (Options(device="cpu"), CPU_BUDGET_S),
        (Options(device="cpu", timeout_s=60.0), 60.0),
        (Options(device="cpu", blocks=9), None),
        (Options(device="cpu", blocks=9, timeout_s=60.0), 60.0),
    ],
)
def test_blocks_have_minutes_unless_a_time_or_a_number_is_given(
    options: Options, seconds: float | None
) -> None:
    assert time_for_blocks(PLAN, options) == seconds
