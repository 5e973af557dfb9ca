"""Blocks: a pure function of the trials in the store, with the same grid in every arm of every block."""

import itertools
from datetime import timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from studies.base import SMOKE
from sweep.engine import agenda, forecast
from sweep.errors import UserError
from sweep.search.block import FIRST_SEED, InBlocks
from sweep.search.pruning import is_behind
from sweep.search.request import Request
from sweep.search.sampling import search_space
from sweep.store.trials import views
from sweep.study import Arm, Blocks, Claim, Contrast, FloatAxis, IntAxis, Plan, load_study

DEPTH, LR = "model.encoder_depth", "optim.lr"
STUDIES = (
    "depth_study",
    "depth_control_study",
    "clip_study",
    "rate_study",
    "stopping_study",
    "transfer_study",
)


def plan(**blocks: Any) -> Plan:
    arms = tuple(Arm(name=f"depth {depth}", fixed={DEPTH: depth}) for depth in (2, 3, 4))
    return Plan(
        base=SMOKE,
        axes=(IntAxis(path=DEPTH, low=2, high=4), FloatAxis(path=LR, low=1e-4, high=1e-2, log=True)),
        arms=arms,
        trials=1,
        blocks=Blocks.model_validate({"grid": {LR: (1e-3, 3e-3, 3e-4)}, "settings": {"epochs": 2}} | blocks),
        claims=(
            Claim(
                key="deep",
                title="Depth",
                statement="Deeper is worse.",
                contrasts=(Contrast(worse=("depth 4",), better=("depth 2",)),),
            ),
        ),
    )


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


def add(
    study: optuna.Study, chosen: Plan, request: Request, state: TrialState, value: float | None = None
) -> None:
    """What a request becomes; a trial that still runs, where the state says so."""
    study.add_trial(
        create_trial(
            state=state,
            value=value,
            params=dict(request.params),
            distributions=search_space(chosen),
            user_attrs=request.user_attrs(),
            intermediate_values={} if value is None else {1: 2 * value, 2: value},
        )
    )


def drain(study: optuna.Study, chosen: Plan, wanted: int) -> list[Request]:
    phase, asked = InBlocks(chosen, wanted), []
    while request := phase.next(study.get_trials()):
        asked.append(request)
        add(study, chosen, request, TrialState.COMPLETE, 1.0)
    return asked


def test_every_arm_of_a_claim_tries_the_same_grid_in_every_block(study: optuna.Study) -> None:
    asked = drain(study, plan(), 2)
    tried = [(r.attrs["block"], r.attrs["arm"], r.params[LR]) for r in asked]
    arms = ("depth 2", "depth 4")  # depth 3 is in no claim
    assert sorted(tried) == sorted(itertools.product((0, 1), arms, (1e-3, 3e-3, 3e-4)))
    assert drain(study, plan(), 2) == []
    assert {r.attrs["block"] for r in drain(study, plan(), 3)} == {2}


def test_runs_of_a_block_share_both_seeds_and_those_of_two_blocks_neither(study: optuna.Study) -> None:
    seeds = {(r.attrs["block"], r.seed, r.settings["data.split_seed"]) for r in drain(study, plan(), 3)}
    assert seeds == {(block, FIRST_SEED + block, block) for block in range(3)}


def test_a_block_sets_every_axis_and_what_it_says_of_other_settings(study: optuna.Study) -> None:
    for request in drain(study, plan(), 1):
        assert set(request.params) == {DEPTH, LR}
        assert request.settings["epochs"] == 2


def test_an_arm_tries_its_next_setting_when_its_last_has_ended(study: optuna.Study) -> None:
    """So whether a run ends early does not depend on how many workers there are."""
    chosen = plan()
    phase = InBlocks(chosen, 2)
    running = []
    while request := phase.next(study.get_trials()):
        running.append((request.attrs["block"], request.attrs["arm"]))
        add(study, chosen, request, TrialState.RUNNING)
    assert running == [(0, "depth 2"), (0, "depth 4"), (1, "depth 2"), (1, "depth 4")]


def test_a_block_that_is_begun_is_finished_where_none_is_wanted_any_more(study: optuna.Study) -> None:
    chosen = plan()
    assert drain(study, chosen, 0) == []
    first = InBlocks(chosen, 6).next(study.get_trials())
    assert first is not None
    add(study, chosen, first, TrialState.COMPLETE, 1.0)
    assert len(drain(study, chosen, 0)) == 5


def test_a_run_that_failed_for_good_is_not_asked_for_again(study: optuna.Study) -> None:
    chosen = plan()
    request = InBlocks(chosen, 1).next(study.get_trials())
    assert request is not None
    add(study, chosen, request, TrialState.FAIL)
    assert (request.attrs["arm"], request.attrs["point"]) not in {
        (r.attrs["arm"], r.attrs["point"]) for r in drain(study, chosen, 1)
    }


def test_rates_beyond_a_mapped_border_are_not_tried(study: optuna.Study) -> None:
    capped = plan().model_copy(update={"caps": {"depth 4": 1.5e-3, "depth 2": 1e-5}})
    tried: dict[str, set[float]] = {}
    for request in drain(study, capped, 1):
        tried.setdefault(request.attrs["arm"], set()).add(request.params[LR])
    assert tried == {"depth 4": {1e-3, 3e-4}, "depth 2": {3e-4}}


def test_a_run_ends_at_the_rung_where_another_of_its_arm_and_block_was_far_better(
    study: optuna.Study,
) -> None:
    chosen = plan(rung=0.5, behind=0.1, settings={"epochs": 4})
    assert chosen.blocks
    config = chosen.base.model_copy(update={"epochs": 4})
    first, second = [r for r in drain(optuna.create_study(), chosen, 1) if r.attrs["arm"] == "depth 2"][:2]
    study.add_trial(
        create_trial(value=1.0, user_attrs=first.user_attrs(), intermediate_values={1: 10.0, 2: 99.0, 4: 1.0})
    )
    other_arm = {**second.user_attrs(), "arm": "depth 4"}
    for attrs, epoch, value, ends in (
        (second.user_attrs(), 2, 11.1, True),
        (second.user_attrs(), 2, 10.9, False),
        (second.user_attrs(), 1, 99.0, False),
        (second.user_attrs(), 3, 99.0, False),
        (other_arm, 2, 99.0, False),
        ({**second.user_attrs(), "block": 1}, 2, 99.0, False),
        ({**second.user_attrs(), "phase": "explore"}, 2, 99.0, False),
    ):
        trial = study.ask()
        for key, fact in attrs.items():
            trial.set_user_attr(key, fact)
        trial.report(value, epoch)
        assert is_behind(study, trial, config, chosen.blocks) is ends, (attrs, epoch, value)
        study.tell(trial, state=TrialState.FAIL)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_the_shipped_studies_can_look_at_their_claims(name: str, scale: str) -> None:
    chosen = load_study(name).plan(scale)
    assert chosen.blocks
    assert chosen.claims
    assert chosen.blocks.most >= 6
    asked = {arm for claim in chosen.claims for arm in claim.arms} | set(itertools.chain(*chosen.carries))
    assert asked == {a.name for a in chosen.block_arms()}
    for arm in chosen.block_arms():
        for point in chosen.tried_in_block(arm).values():
            assert {axis.path for axis in chosen.axes} <= set(chosen.in_block(arm, point))


def test_blocks_and_claims_that_do_not_fit_the_plan_are_refused() -> None:
    good = plan()
    tree = good.model_dump()
    for update, words in (
        ({"blocks": None}, "judged by blocks"),
        ({"arms": tree["arms"][:1]}, "no arm of the plan"),
        ({"blocks": {"grid": {LR: (1.0,)}}}, "outside the axis"),
        ({"blocks": {"grid": {"optim.lrr": (1.0,)}}}, "optim.lr"),
    ):
        with pytest.raises((ValueError, UserError), match=words):
            Plan.model_validate(tree | update)


def test_a_setting_is_no_longer_tried_and_claims_without_their_arms_go() -> None:
    pinned = plan().with_settings({LR: 2e-3})
    assert pinned.blocks
    assert pinned.blocks.grid == {}
    assert [pinned.tried_in_block(arm) for arm in pinned.block_arms()] == [{0: {}}] * 2
    assert plan().with_settings({DEPTH: 2}).claims == ()


def test_blocks_begin_while_the_last_explored_trials_run(study: optuna.Study) -> None:
    chosen = plan()
    study.enqueue_trial({LR: 1e-3, DEPTH: 2}, user_attrs={"phase": "explore", "arm": "depth 2"})
    request = agenda.next_request(agenda.phases(chosen, 1, blocks=6), study.get_trials())
    assert request is not None
    assert request.phase == "block"


def test_the_time_of_a_block_follows_from_those_of_its_runs(study: optuna.Study) -> None:
    chosen = plan()
    assert forecast.seconds_of_a_block(chosen, []) is None
    drain(study, chosen, 1)
    trials = study.get_trials()
    for number, trial in enumerate(trials):
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=number)
    assert forecast.seconds_of_a_block(chosen, views(trials, chosen)) == pytest.approx(
        1 + 2 + 3 + 4 + 5 + 6, rel=0.25
    )
