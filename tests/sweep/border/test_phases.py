"""A border study from its trials alone: map, verify, distance; crashes, corrections, other strategies."""

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from studies.base import SMOKE
from sweep.border.map import BorderMap
from sweep.border.phases import Distance, Map, Verify, chooser, models
from sweep.border.runs import border_runs, furthest, points_of, runs_in
from sweep.engine.agenda import next_request, next_requests, phases
from sweep.search.request import Request
from sweep.search.sampling import search_space
from sweep.store import keys
from sweep.store.trials import TrialView
from sweep.study import Plan
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import TrialConfig, with_settings
from vae.stability.labels import EARLY_STEPS, Label, Observation, verdict

TOTAL = 200
DEPTH = Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=(2, 3))
Behaviour = Callable[[float, int], int | None]
"""x and depth -> the step at which a run is not finite, or None."""


def border_plan(**settings: Any) -> BorderPlan:
    values: dict[str, Any] = {"labels": ("nonfinite",), "seeds": (0, 1), "step": 0.25, "precision": 0.5}
    return BorderPlan(plane=Plane(across=(DEPTH,)), **values | settings)


def at_once(x: float, depth: int) -> int | None:
    return 2 if x > -2.0 - 0.1 * depth else None


def observed(
    step: int | None, label: Label, horizon: Any, loss: float = 1.0, total: int = TOTAL
) -> Observation:
    """A run that is calm, of that loss, until it goes at that step, as a probe sees it."""
    for steps in range(1, total + 1):
        gone = step is not None and step < steps
        seen = Observation(
            steps=steps,
            total_steps=total,
            first_loss=10.0,
            peak_loss=10.0,
            recent_loss=loss,
            recent_median=loss,
            recent_peak=loss,
            settled_loss=loss,
            mean_image_loss=5.0,
            blowup_step=step if gone else None,
            nonfinite_step=step if gone else None,
        )
        if gone or verdict(label, seen, horizon) is not None:
            return seen
    raise AssertionError("a run has an end")


class Loop:
    """The engine's part: enqueue, claim, train (here: look up), tell."""

    def __init__(self, border: BorderPlan, behaviour: Behaviour, base: TrialConfig = SMOKE) -> None:
        self.plan = Plan.for_border(base, border)
        self.study = optuna.create_study()
        self.behaviour = behaviour
        self.useless_above = math.inf
        self.total = TOTAL

    def start(self) -> optuna.Trial | None:
        request = next_request(phases(self.plan, 0), self.study.get_trials())
        if request is None:
            return None
        request.enqueue(self.study)
        return self.study.ask(search_space(self.plan))

    def finish(self, trial: optuna.Trial) -> None:
        facts = TrialView(trial).settings
        x, depth = trial.user_attrs[keys.BORDER_X], trial.params["model.encoder_depth"]
        label, horizon = facts.get("probe.label", "nonfinite"), facts.get("probe.horizon")
        loss = 8.0 if x > self.useless_above else 1.0
        seen = observed(self.behaviour(x, depth), label, horizon, loss, self.total)
        for key, value in seen.as_dict().items():
            trial.set_user_attr(keys.BORDER + key, value)
        if "probe.label" in facts:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, 1.0)

    def run(self, workers: int = 1, limit: int = 400) -> list[FrozenTrial]:
        running: list[optuna.Trial] = []
        for _ in range(limit):
            trial = self.start() if len(running) < workers else None
            if trial is not None:
                running.append(trial)
            elif running:
                self.finish(running.pop(0))
            else:
                trials = self.study.get_trials()
                asked = [str((t.params, t.user_attrs["seed"], TrialView(t).settings)) for t in trials]
                assert len(set(asked)) == len(asked), "nothing is run twice"
                return trials
        raise AssertionError("the study does not end")


def test_probes_come_first_then_checks_then_runs_at_the_distances() -> None:
    loop = Loop(border_plan(distances=(0.3, 1.0)), at_once)
    trials = loop.run()
    names = list(dict.fromkeys(TrialView(trial).phase for trial in trials))
    assert names == ["map", "verify", "distance"]
    border = loop.plan.border
    assert border is not None
    found = models(border, SMOKE, trials, probes_alone=True)["nonfinite"]
    for row, depth in zip(found.columns, (2, 3), strict=True):
        assert row.border == pytest.approx(-2.0 - 0.1 * depth, abs=0.15)
        runs = [
            t for t in trials if TrialView(t).phase == "distance" and t.params["model.encoder_depth"] == depth
        ]
        for trial in runs:
            below = row.border - trial.user_attrs[keys.BORDER_X]
            assert below == pytest.approx(trial.user_attrs[keys.BORDER_DISTANCE], abs=1e-6)
        assert len(runs) == 2


def test_a_probe_has_no_objective_and_a_whole_run_has_one() -> None:
    trials = Loop(border_plan(distances=(0.5,)), at_once).run()
    for trial in trials:
        probe = TrialView(trial).phase != "distance"
        assert trial.state is (TrialState.PRUNED if probe else TrialState.COMPLETE)
        assert ("probe.label" in TrialView(trial).settings) == probe


def test_whole_runs_are_part_of_the_map_and_where_they_break_below_it_that_is_said() -> None:
    """Of fresh seeds, three at each of three distances: all end at once, where no probe did."""
    seeds, distances = (10, 11, 12), (0.5, 0.6, 0.7)
    border = border_plan(distances=distances, distance_seeds=seeds)
    loop = Loop(border, at_once)
    trials = loop.run()
    asked = {t.user_attrs[keys.BORDER_X] for t in trials if TrialView(t).phase == "distance"}
    # Each seed at the same places: no run moved the next.
    assert len(asked) == len(distances) * len(DEPTH.values)
    calm = BorderMap.of("calm", loop.plan, trials)
    assert calm.conflicts == []
    trials = copy.deepcopy(trials)  # those that are over do not change
    for trial in trials:
        if TrialView(trial).phase == "distance":
            trial.user_attrs[keys.BORDER + "nonfinite_step"] = 2
    broken = BorderMap.of("broken", loop.plan, trials)
    assert [(c.column, c.crossed, c.runs) for c in broken.conflicts] == [("depth 2", 9, 9), ("depth 3", 9, 9)]
    shown = [of.models["nonfinite"].columns[0] for of in (calm, broken)]
    assert shown[1].border is not None
    assert shown[0].border is not None
    assert shown[1].border < shown[0].border - 0.2
    placed = models(border, SMOKE, trials, probes_alone=True)["nonfinite"].columns[0]
    assert placed.border == pytest.approx(-2.2, abs=0.15)


def test_a_check_that_fails_sends_the_study_back_to_the_map() -> None:
    """Half a decade below the border of a few steps, runs go at step 120: no short probe sees it."""

    def late(x: float, depth: int) -> int | None:
        return 2 if x > -2.0 else 120 if x > -2.5 else None

    loop = Loop(border_plan(), late)
    trials = loop.run()
    first_check = next(i for i, trial in enumerate(trials) if TrialView(trial).phase == "verify")
    assert "map" in {TrialView(trial).phase for trial in trials[first_check:]}
    assert loop.plan.border is not None
    found = models(loop.plan.border, SMOKE, trials)["nonfinite"]
    for row in found.columns:
        assert row.border == pytest.approx(-2.5, abs=0.25)


def test_where_the_head_is_wide_every_seeds_edge_is_followed_further() -> None:
    def late(x: float, depth: int) -> int | None:
        return 2 if x > -2.0 else 120 if x > -2.5 else None

    wide = with_settings(
        SMOKE, {"model.image_size": 64, "model.max_downsamples": 2, "model.base_channels": 16}
    )
    loop = Loop(border_plan(verify=0), late, wide)
    trials = loop.run()
    assert loop.plan.border is not None
    found = models(loop.plan.border, wide, trials)["nonfinite"]
    assert all(row.border == pytest.approx(-2.5, abs=0.2) for row in found.columns)
    assert not any(TrialView(trial).phase == "verify" for trial in trials)


def test_a_run_followed_further_replaces_what_was_forecast_of_it() -> None:
    border = border_plan()
    short, long = observed(120, "nonfinite", EARLY_STEPS), observed(120, "nonfinite", None)
    (seen,) = runs_in(border, Loop(border, at_once).run()[:1])
    runs = [dataclasses.replace(seen, observation=one, x=-2.2) for one in (short, long)]
    assert furthest(runs, "nonfinite", EARLY_STEPS) == [runs[1]]
    assert [point.crossed for point in points_of("nonfinite", runs, EARLY_STEPS)] == [True]
    (run,) = border_runs("nonfinite", runs, EARLY_STEPS)
    assert run.crossed
    assert run.steps == short.steps + long.steps


@pytest.mark.parametrize("workers", [1, 3])
def test_no_probe_is_run_twice_however_many_run_at_once(workers: int) -> None:
    trials = Loop(border_plan(labels=("nonfinite", "useless", "blowup")), at_once).run(workers)
    asked = [
        (
            t.user_attrs[keys.BORDER_X],
            t.params["model.encoder_depth"],
            t.user_attrs["seed"],
            str(TrialView(t).settings),
        )
        for t in trials
    ]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("workers", [1, 3])
def test_borders_of_their_own_are_all_found_and_checked_by_whole_runs(workers: int) -> None:
    loop = Loop(border_plan(labels=("nonfinite", "useless", "blowup")), at_once)
    loop.useless_above = -3.1
    trials = loop.run(workers)
    assert loop.plan.border is not None
    found = models(loop.plan.border, SMOKE, trials)
    for column in range(2):
        assert found["useless"].columns[column].border == pytest.approx(-3.1, abs=0.15)
        assert found["nonfinite"].columns[column].border == pytest.approx(-2.2 - 0.1 * column, abs=0.15)
    checks = [run for run in runs_in(loop.plan.border, trials) if run.is_check]
    assert {run.label for run in checks} >= {"nonfinite", "useless"}
    crossed = [run for run in checks if run.crossed("nonfinite", None)]
    assert all(run.is_whole for run in checks if run not in crossed)


def test_a_run_shorter_than_the_late_horizon_is_followed_to_its_end_once() -> None:
    wide = with_settings(SMOKE, {"model.max_downsamples": 1, "model.base_channels": 16})
    loop = Loop(border_plan(verify=0), at_once, wide)
    loop.total = 40
    assert len(loop.run()) < 60


def test_a_longer_run_that_tells_nothing_leaves_what_a_shorter_one_told() -> None:
    """A probe of another label may end where this one is not calm: no verdict, and no reason to go again."""
    border = border_plan()
    calm = observed(None, "nonfinite", EARLY_STEPS)
    restless = dataclasses.replace(calm, steps=42, recent_peak=1e9)
    (seen,) = runs_in(border, Loop(border, at_once).run()[:1])
    runs = [dataclasses.replace(seen, observation=one, x=-2.2) for one in (calm, restless)]
    assert [point.crossed for point in points_of("nonfinite", runs, EARLY_STEPS)] == [False]


def test_a_crash_at_any_moment_costs_the_running_probe_and_nothing_else() -> None:
    whole = [t.user_attrs[keys.BORDER_X] for t in Loop(border_plan(), at_once).run()]
    loop = Loop(border_plan(), at_once)
    while (trial := loop.start()) is not None:
        if trial.number % 2 == 0:  # its process died; nothing but the store is left
            loop.study.tell(trial, state=TrialState.FAIL)
        else:
            loop.finish(trial)
    done = [t for t in loop.study.get_trials() if t.state is not TrialState.FAIL]
    assert [t.user_attrs[keys.BORDER_X] for t in done] == whole


def test_a_study_that_goes_on_trains_no_distance_again() -> None:
    border = border_plan(distances=(0.5,))
    loop = Loop(border, at_once)
    trials = loop.run()
    assert Distance(border, SMOKE).remaining(trials) == 0
    more = border.model_copy(update={"distances": (0.5, 1.0)})
    assert Distance(more, SMOKE).remaining(trials) == 2
    request = Distance(more, SMOKE).next(trials)
    assert isinstance(request, Request)
    assert request.attrs[keys.BORDER_DISTANCE] == 1.0


def test_a_setting_that_is_never_stable_ends_the_study_without_a_border() -> None:
    loop = Loop(border_plan(distances=(0.5,)), lambda x, depth: 0)
    trials = loop.run()
    assert loop.plan.border is not None
    found = models(loop.plan.border, SMOKE, trials)["nonfinite"]
    assert {row.status for row in found.columns} == {"below"}
    assert len(found.sentences()) == 2
    assert not any(TrialView(trial).phase == "distance" for trial in trials)


@pytest.mark.parametrize("strategy", ["grid", "random", "sobol", "tpe"])
def test_other_strategies_run_their_share_of_whole_probes_in_every_cell(strategy: str) -> None:
    border = border_plan(strategy=strategy, trials_a_column=6, grid_step=0.5, verify=0)
    loop = Loop(border, at_once)
    trials = loop.run(workers=2)
    share = 9 if strategy == "grid" else 6
    assert len(trials) == share * 4
    assert all("probe.horizon" not in TrialView(trial).settings for trial in trials)
    x = [t.user_attrs[keys.BORDER_X] for t in trials if t.params["model.encoder_depth"] == 2]
    assert len({round(at, 6) for at in x[:share]}) == share
    if strategy == "grid":
        assert sorted(x[:share]) == pytest.approx([-5 + 0.5 * i for i in range(9)])
    again = Loop(border, at_once)
    assert [t.user_attrs[keys.BORDER_X] for t in again.run(workers=2)] == [
        t.user_attrs[keys.BORDER_X] for t in trials
    ]


def test_what_is_left_is_never_less_than_nothing_and_nothing_at_the_end() -> None:
    border = border_plan()
    loop = Loop(border, at_once)
    trials = loop.run()
    kinds = [kind(border, SMOKE) for kind in (Map, Verify, Distance)]
    assert all(phase.remaining(trials[:5]) >= 0 for phase in kinds)
    assert [phase.remaining(trials) for phase in kinds] == [0, 0, 0]


@pytest.mark.parametrize("workers", [4, 16])
def test_a_column_is_checked_and_trained_in_while_others_are_mapped(workers: int) -> None:
    """And no run at a distance begins before its own column's border has been checked."""
    loop = Loop(border_plan(labels=("nonfinite", "useless"), distances=(0.3,)), at_once)
    loop.useless_above = -3.1
    trials = loop.run(workers)
    assert loop.plan.border is not None
    placed = runs_in(loop.plan.border, trials)
    for run in (run for run in placed if run.label is None):
        before = [other for other in placed if other.column == run.column and other.trial < run.trial]
        assert any(other.is_check and other.label == "nonfinite" for other in before)
    by_phase = [TrialView(trial).phase for trial in trials]
    assert by_phase.index("verify") < len(by_phase) - 1 - by_phase[::-1].index("map")


def test_requests_for_many_lanes_are_those_that_one_after_the_other_would_get() -> None:
    border = border_plan(strategy="grid", grid_step=0.5, verify=0)
    loop = Loop(border, at_once)
    asked = next_requests(phases(loop.plan, 0), [], 12)
    one_by_one = [t.user_attrs[keys.BORDER_X] for t in loop.run()[:12]]
    assert [request.attrs[keys.BORDER_X] for request in asked] == one_by_one


def test_late_runs_are_expected_by_the_width_of_the_head_alone() -> None:
    assert chooser(border_plan(), SMOKE).late == {"nonfinite": [None, None]}
    wide = with_settings(SMOKE, {"model.max_downsamples": 1, "model.base_channels": 16})
    assert chooser(border_plan(), wide).late == {"nonfinite": [150, 150]}
