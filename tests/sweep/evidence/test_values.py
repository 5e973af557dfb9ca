"""From trials to values: an arm stands in a block by the run that its validation tiles chose."""

import math
from typing import Any

import pytest
from optuna.trial import TrialState

from sweep.evidence.values import TARGET, block_values, chosen, column_values
from sweep.evidence.verdicts import at_hand, verdicts, wanted_blocks
from sweep.store.trials import BLOCK, DISTANCE, TrialView
from sweep.study import (
    EPOCHS_TO_STOP,
    EPOCHS_TO_TARGET,
    TEST_LOSS,
    Claim,
    Contrast,
    Endpoint,
    at_distance,
    load_study,
)
from tests.sweep.report.synthetic import made_trial

PLAN = load_study("depth_study").plan("smoke")
CLAIM = Claim(
    key="deep",
    title="Depth",
    statement="Deeper is worse.",
    contrasts=(Contrast(worse=("depth 8",), better=("depth 4", "depth 5")),),
    endpoints=(TEST_LOSS,),
)


def run(
    arm: str,
    block: int,
    objective: float | None,
    test: float | None = None,
    point: int = 0,
    curve: dict[int, float] | None = None,
    **more: Any,
) -> TrialView:
    facts = {"phase": BLOCK, "arm": arm, "block": block, "point": point, "points": 2, "outcome": "budget"}
    attrs = {} if test is None else {TEST_LOSS.key: test}
    state = more.pop("state", TrialState.COMPLETE)
    trial = made_trial(block, objective=objective, state=state, attrs=attrs, **facts | more)
    trial.stored.intermediate_values = curve or {}
    return trial


def values(trials: list[TrialView], endpoint: Endpoint = TEST_LOSS) -> dict[str, dict[int, float]]:
    claim = CLAIM.model_copy(update={"endpoints": (endpoint,)})
    return {arm: dict(blocks) for arm, blocks in block_values([claim], trials)[endpoint.key].items()}


def test_the_run_with_the_best_validation_stands_by_its_test_value() -> None:
    trials = [run("depth 8", 0, 3.0, test=1.0), run("depth 8", 0, 2.0, test=9.0, point=1)]
    assert values(trials) == {"depth 8": {0: 9.0}}


def test_an_arm_has_no_value_before_all_that_it_tries_has_ended() -> None:
    one = run("depth 8", 0, 3.0, test=1.0)
    assert values([one]) == {}
    assert values([one, run("depth 8", 0, None, point=1, state=TrialState.RUNNING)]) == {}
    assert values([one, run("depth 8", 0, None, point=1, state=TrialState.FAIL)]) == {}
    assert values([one, run("depth 8", 0, 1.0, point=1, state=TrialState.PRUNED)]) == {"depth 8": {0: 1.0}}


def test_a_crash_that_was_tried_again_is_forgotten() -> None:
    trials = [
        run("depth 8", 0, None, state=TrialState.FAIL, next_attempt=1),
        run("depth 8", 0, 3.0, test=1.0),
        run("depth 8", 0, 4.0, test=2.0, point=1),
    ]
    assert values(trials) == {"depth 8": {0: 1.0}}


def test_where_every_run_diverged_the_value_is_the_worst() -> None:
    lost = [run("depth 8", 0, None, point=point, outcome="nonfinite") for point in (0, 1)]
    assert values(lost) == {"depth 8": {0: math.inf}}
    (choice,) = chosen(lost).values()
    assert (choice.run, choice.runs, choice.diverged) == (None, 2, 2)
    assert values([lost[0], run("depth 8", 0, 4.0, test=2.0, point=1)]) == {"depth 8": {0: 2.0}}


def test_a_figure_that_the_run_lacks_is_left_out() -> None:
    assert values([run("depth 8", 0, 3.0, point=point) for point in (0, 1)]) == {}


def test_a_target_is_the_blocks_own_and_not_reached_is_the_worst() -> None:
    fast = {1: 9.0, 2: TARGET * 4.0, 3: 4.0}
    slow = {1: 9.0, 2: 8.0, 3: 7.0}
    trials = [run("depth 4", 0, 4.0, curve=fast, point=point) for point in (0, 1)]
    trials += [run("depth 8", 0, 7.0, curve=slow, point=point) for point in (0, 1)]
    trials += [run("depth 8", 1, 7.0, curve=slow, point=point) for point in (0, 1)]
    assert values(trials, EPOCHS_TO_TARGET) == {"depth 4": {0: 2.0}, "depth 8": {0: math.inf, 1: 3.0}}


def test_early_stopping_that_did_not_fire_is_the_worst() -> None:
    for outcome, value in (("converged", 12.0), ("budget", math.inf)):
        trials = [run("depth 8", 0, 3.0, point=point, outcome=outcome, epochs=12) for point in (0, 1)]
        assert values(trials, EPOCHS_TO_STOP) == {"depth 8": {0: value}}


def test_a_columns_target_is_its_own() -> None:
    curves = {1: 9.0, 2: TARGET * 4.0, 3: 4.0}, {1: 9.0, 2: 8.0, 3: 7.0}, {1: 9.0, 2: 6.0, 3: 5.0}
    places = (2, 0.3), (2, 0.9), (8, 0.3)
    trials = []
    for number, ((depth, distance), curve) in enumerate(zip(places, curves, strict=True)):
        attrs = {"border/at": [depth, 4], "border/distance": distance}
        trial = made_trial(number, phase=DISTANCE, objective=curve[3], attrs=attrs)
        trial.stored.intermediate_values = curve
        trials.append(trial)
    claim = CLAIM.model_copy(update={"endpoints": (EPOCHS_TO_TARGET,), "paired": "column"})
    found = column_values([claim], trials)[EPOCHS_TO_TARGET.key]
    assert found == {at_distance(0.3): {0: [2.0], 1: [3.0]}, at_distance(0.9): {0: [math.inf]}}


def test_runs_at_a_distance_are_grouped_by_their_column() -> None:
    trials = [
        made_trial(
            number,
            phase=DISTANCE,
            objective=None if number == 3 else 1.0,
            attrs={"border/at": [place, 4], "border/distance": 0.3, TEST_LOSS.key: float(number)},
        )
        for number, place in enumerate((8, 2, 8, 2))
    ]
    claim = Claim(
        key="near",
        title="Near",
        statement="Near is best.",
        contrasts=(Contrast(worse=(at_distance(0.9),), better=(at_distance(0.3),)),),
        endpoints=(TEST_LOSS,),
        paired="column",
    )
    assert column_values([claim], trials)[TEST_LOSS.key] == {
        "0.3 decades below": {0: [1.0, math.inf], 1: [0.0, 2.0]}
    }


def made(blocks: int, effect: float) -> list[TrialView]:
    """Blocks of every arm of the plan; depth 4 and 5 are better by this log ratio, in every block."""
    return [
        run(arm.name, block, value, test=value, points=1, curve={1: value})
        for block in range(blocks)
        for arm in PLAN.block_arms()
        for value in [math.exp(0.01 * block - effect * (arm.name in ("depth 4", "depth 5")))]
    ]


def test_blocks_are_wanted_look_by_look_until_the_claims_are_decided() -> None:
    plan = PLAN.model_copy(
        update={"claims": (CLAIM,), "blocks": PLAN.blocks and PLAN.blocks.model_copy(update={"most": 20})}
    )
    assert wanted_blocks(plan, []) == 6
    assert wanted_blocks(plan, made(5, 0.3)) == 6
    assert wanted_blocks(plan, made(6, 0.3)) == 0
    assert [each.verdict for each in verdicts(plan, made(6, 0.3))] == ["supported"]
    assert wanted_blocks(plan, made(6, 0.3), asked=9) == 9
    assert wanted_blocks(plan, made(6, 0.3), asked=30) == 20
    assert at_hand(made(6, 0.3)) == 6
    assert wanted_blocks(PLAN, made(6, 0.3)) <= 6  # its plan has no more
    assert wanted_blocks(load_study("kl_study").plan("smoke"), []) == 0


@pytest.mark.parametrize("blocks", [6, 9])
def test_a_study_without_a_plan_has_no_verdicts(blocks: int) -> None:
    assert verdicts(None, made(blocks, 0.3)) == []
