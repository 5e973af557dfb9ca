"""The confirm phase: a pure function of the trials in the store."""

import math
from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from studies.base import SMOKE
from sweep.engine.agenda import next_request, phases
from sweep.errors import UserError
from sweep.search.confirm import FIRST_SEED, Repeat
from sweep.search.explore import Explore
from sweep.search.request import Request
from sweep.search.sampling import ArmSampler, search_space, suggest
from sweep.store.trials import TrialView
from sweep.study import Arm, ChoiceAxis, Confirm, FloatAxis, Plan, load_study


@pytest.fixture
def plan() -> Plan:
    """The arms of depth_study, confirmed in place of blocks."""
    confirm = Confirm(settings={"epochs": 12})
    blocks = load_study("depth_study").plan("laptop")
    return blocks.model_copy(update={"confirm": confirm, "blocks": None, "claims": ()})


@pytest.fixture
def clipping() -> Plan:
    """Policies as arms that share the rate of the best, and one with a schedule of its own."""
    clip, schedule, rate = "optim.clip", "optim.lr_schedule", "optim.lr"
    policies = ("none", "value", "agc")
    return Plan(
        base=SMOKE,
        axes=(
            ChoiceAxis(path=clip, choices=policies),
            ChoiceAxis(path=schedule, choices=("constant", "cosine", "wsd")),
            ChoiceAxis(path=rate, choices=(3e-4, 1e-3, 3e-3)),
        ),
        arms=(
            *(Arm(name=f"clip {policy}", fixed={clip: policy}) for policy in policies),
            Arm(name="constant rate", fixed={clip: "none", schedule: "constant"}),
        ),
        trials=4,
        confirm=Confirm(settings={schedule: "wsd", "epochs": 12}, shared=(rate,)),
    )


def explore(study: optuna.Study, plan: Plan, values: dict[str, list[float]], seed: int = 0) -> None:
    """Finished trials of the named arms, with these objectives."""
    arms = {arm.name: arm for arm in plan.arms}
    for name, objectives in values.items():
        for value in objectives:
            add(study, plan, Request("explore", params=arms[name].fixed, attrs={"arm": name}), value, seed)


def add(
    study: optuna.Study,
    plan: Plan,
    request: Request,
    value: float | None,
    seed: int = 0,
    **params: Any,
) -> None:
    """What a request becomes: finished with the value, or failed where it is None."""
    space = search_space(plan)
    defaults = {p: getattr(d, "choices", [None])[0] or getattr(d, "low", None) for p, d in space.items()}
    chosen = defaults | dict(request.params) | params
    attrs = {"seed": seed + len(study.trials)} | request.user_attrs()
    study.add_trial(
        create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            value=value,
            params=chosen,
            distributions=space,
            user_attrs=attrs,
        )
    )


def drain(study: optuna.Study, plan: Plan, value: float | None = 1.0) -> list[Request]:
    assert plan.confirm
    phase = Repeat(plan, plan.confirm, explore_total=0)
    asked = []
    while request := phase.next(study.get_trials()):
        asked.append(request)
        add(study, plan, request, value)
    assert phase.remaining(study.get_trials()) == 0
    return asked


def test_the_best_of_every_arm_is_repeated_over_the_same_fresh_seeds(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [5.0, 3.0, 4.0], "depth 2": [9.0, math.inf], "depth 4": [1.0]})
    asked = drain(study, plan)
    assert Counter(r.attrs["arm"] for r in asked) == {"depth 8": 5, "depth 2": 5, "depth 4": 5}
    assert {r.attrs["arm"]: r.attrs["confirms"] for r in asked} == {"depth 8": 1, "depth 2": 3, "depth 4": 5}
    seeds = {
        arm: {r.seed for r in asked if r.attrs["arm"] == arm} for arm in ("depth 8", "depth 2", "depth 4")
    }
    assert len(set(map(frozenset, seeds.values()))) == 1
    assert not seeds["depth 8"] & {t.user_attrs["seed"] for t in study.trials[:6]}
    assert all(r.params == study.trials[int(r.attrs["confirms"])].params for r in asked)
    assert all(r.settings == {"epochs": 12} for r in asked)


def test_seeds_take_turns_so_that_a_study_cut_short_is_balanced(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [5.0], "depth 2": [9.0]})
    asked = drain(study, plan)
    assert [r.seed for r in asked[:4]] == [FIRST_SEED, FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 1]


def test_a_seed_that_explore_used_is_not_fresh(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [5.0], "depth 2": [9.0]}, seed=FIRST_SEED)
    seeds = {r.seed for r in drain(study, plan)}
    assert seeds == {FIRST_SEED + k for k in range(2, 7)}


def test_an_arm_whose_trials_all_diverged_has_nothing_to_confirm(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [math.inf], "depth 4": [1.0]})
    assert {r.attrs["arm"] for r in drain(study, plan)} == {"depth 4"}


def test_it_waits_for_explore_and_goes_on_by_itself_after_a_crash(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [5.0], "depth 4": [4.0]})
    study.enqueue_trial({}, user_attrs={"phase": "explore"})
    both = phases(plan, 3)
    assert next_request(both, study.get_trials()) is None
    study.tell(study.ask(), 1.0)
    for _ in range(3):  # a new process each time: nothing but the store is remembered
        request = next_request(phases(plan, 3), study.get_trials())
        assert request is not None
        request.enqueue(study)
    waiting = [t for t in study.get_trials() if t.state is TrialState.WAITING]
    assert len({(t.user_attrs["arm"], t.user_attrs["seed"]) for t in waiting}) == 3
    assert TrialView(waiting[0]).settings == {"epochs": 12}


def test_what_remains_is_known_before_explore_ends(plan: Plan) -> None:
    study = optuna.create_study()
    assert plan.confirm
    phase = Repeat(plan, plan.confirm, explore_total=4)
    assert phase.remaining(study.get_trials()) == 4 * 5
    explore(study, plan, {"depth 8": [5.0], "depth 5": [math.inf]})
    assert phase.remaining(study.get_trials()) == 3 * 5


def test_a_trial_that_failed_for_good_is_not_asked_for_again(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [5.0]})
    assert len(drain(study, plan, value=None)) == 5


def test_a_better_setting_found_later_is_confirmed_anew(plan: Plan) -> None:
    study = optuna.create_study()
    explore(study, plan, {"depth 8": [5.0], "depth 4": [4.0]})
    assert len(drain(study, plan)) == 10
    request = Request(
        "explore", params={"model.encoder_depth": 8, "model.decoder_depth": 8}, attrs={"arm": "depth 8"}
    )
    add(study, plan, request, 2.0, **{"optim.lr": 5e-3})
    again = drain(study, plan)
    assert {r.attrs["arm"] for r in again} == {"depth 8"}
    assert {r.params["optim.lr"] for r in again} == {5e-3}


def test_clipping_policies_are_compared_at_one_rate_and_schedule(clipping: Plan) -> None:
    plan = clipping
    study = optuna.create_study()
    for arm in plan.arms:
        request = Request("explore", params=arm.fixed, attrs={"arm": arm.name})
        for rate, value in ((3e-4, 3.0), (1e-3, 2.0), (3e-3, 1.0 if arm.name == "clip agc" else math.inf)):
            schedule = arm.fixed.get("optim.lr_schedule", "cosine")
            add(study, plan, request, value, **{"optim.lr": rate, "optim.lr_schedule": schedule})
    asked = drain(study, plan)
    assert {r.params["optim.lr"] for r in asked} == {1e-3}
    schedules = {r.attrs["arm"]: r.params["optim.lr_schedule"] for r in asked}
    assert schedules.pop("constant rate") == "constant"
    assert set(schedules.values()) == {"wsd"}
    assert len(asked) == 5 * len(plan.arms)


def test_what_the_user_sets_is_left_as_it_is(clipping: Plan) -> None:
    plan = clipping.with_settings({"epochs": 2, "optim.lr": 1e-3})
    assert plan.confirm
    assert plan.confirm.settings == {"optim.lr_schedule": "wsd"}
    assert plan.confirm.shared == ()


@pytest.fixture
def mixed() -> Plan:
    """Two arms that differ in a setting alone, and one that has nothing to explore."""
    bound = "model.logvar_bound"
    return Plan(
        base=SMOKE,
        axes=(FloatAxis(path="optim.lr", low=1e-4, high=1e-1, log=True),),
        arms=(
            Arm(name="plain", settings={bound: "none"}, grid={"optim.lr": (1e-3, 1e-2)}),
            Arm(name="soft", settings={bound: "soft"}, grid={"optim.lr": (1e-3, 1e-2)}),
            Arm(name="fixed", fixed={"optim.lr": 3e-3}, settings={bound: "clamp"}, confirm_only=True),
        ),
        trials=4,
        confirm=Confirm(seeds=3, settings={"epochs": 1}),
    )


def test_an_arm_walks_through_its_grid_with_its_own_settings(mixed: Plan) -> None:
    study = optuna.create_study()
    phase = Explore(mixed, 6)
    for value in range(6):
        request = phase.next(study.get_trials())
        assert request
        add(study, mixed, request, float(value))
    told = [(t.user_attrs["arm"], TrialView(t).settings["model.logvar_bound"]) for t in study.trials]
    assert told == [("plain", "none"), ("soft", "soft")] * 3
    rates = [t.params["optim.lr"] for t in study.trials]
    assert rates[:4] == [1e-3, 1e-3, 1e-2, 1e-2]
    # What is left beyond the grid is the sampler's.
    assert "optim.lr" not in Explore(mixed, 7).next(study.get_trials()[:4]).params  # type: ignore[union-attr]


def test_an_arm_that_fixes_everything_is_confirmed_without_being_explored(mixed: Plan) -> None:
    study = optuna.create_study()
    for name, value in (("plain", 2.0), ("soft", 1.0)):
        arm = next(arm for arm in mixed.arms if arm.name == name)
        request = Request("explore", arm.point(1), arm.settings, attrs={"arm": name})
        add(study, mixed, request, value)
    asked = drain(study, mixed)
    assert Counter(r.attrs["arm"] for r in asked) == {"plain": 3, "soft": 3, "fixed": 3}
    fixed = next(r for r in asked if r.attrs["arm"] == "fixed")
    assert dict(fixed.params) == {"optim.lr": 3e-3}
    assert dict(fixed.settings) == {"model.logvar_bound": "clamp", "epochs": 1}
    assert "confirms" not in fixed.attrs
    soft = next(r for r in asked if r.attrs["arm"] == "soft")
    assert dict(soft.settings) == {"model.logvar_bound": "soft", "epochs": 1}
    assert {r.seed for r in asked if r.attrs["arm"] == "fixed"} == {FIRST_SEED + k for k in range(3)}


def test_arms_that_differ_in_settings_alone_do_not_learn_from_each_other(mixed: Plan) -> None:
    """TPE told of the other arm's trials would propose what was good there."""

    def proposed(others: list[float]) -> float:
        study = optuna.create_study(sampler=ArmSampler(mixed, 0))
        for value, rate in enumerate(others):
            add(study, mixed, Request("explore", {"optim.lr": rate}, attrs={"arm": "plain"}), float(value))
        study.enqueue_trial({}, user_attrs={"phase": "explore", "arm": "soft"})
        trial = study.ask()
        suggest(trial, search_space(mixed))
        return float(trial.params["optim.lr"])

    # The trial's number decides the draws too, so both have as many before them.
    assert proposed([1e-4] * 8) == proposed([1e-1] * 8)


def test_a_plan_says_what_an_arm_cannot_be(mixed: Plan) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"settings": {"optim.lr": 1e-3}}, "is an axis"),
        ({"settings": {"optim.speed": 1}}, "no setting"),
        ({"grid": {"optim.lr": (1.0,)}}, "no axis holds"),
        ({"confirm_only": True}, "must fix every axis"),
    ]
    for fields, why in wrong:
        arms = (*mixed.arms, Arm(name="wrong", **fields))
        with pytest.raises((ValueError, UserError), match=why):
            Plan.model_validate(mixed.model_copy(update={"arms": arms}).model_dump())


def test_a_setting_of_the_users_drops_the_arms_that_have_another(mixed: Plan) -> None:
    kept = mixed.with_settings({"model.logvar_bound": "soft"})
    assert [arm.name for arm in kept.arms] == ["soft"]
    with pytest.raises(UserError, match="no arm of the study has model"):
        mixed.with_settings({"model.logvar_bound": "clamp"})
    rate = mixed.with_settings({"optim.lr": 1e-3})
    assert [arm.name for arm in rate.arms] == ["plain", "soft"]
    assert not any(arm.grid for arm in rate.arms)
