"""The sampler of a study with arms."""

import inspect
import math
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from studies.base import SMOKE
from sweep.search.sampling import TPE, ArmSampler, search_space
from sweep.study import Arm, ChoiceAxis, FloatAxis, IntAxis, Plan, load_study


@pytest.fixture
def plan() -> Plan:
    return Plan(
        base=SMOKE,
        axes=(
            IntAxis(path="model.encoder_depth", low=2, high=8),
            FloatAxis(path="optim.lr", low=1e-5, high=1e-1, log=True),
        ),
        arms=tuple(Arm(name=f"{d}", fixed={"model.encoder_depth": d}) for d in (2, 4)),
        trials=4,
    )


def _ask(plan: Plan, seed: int, told: int, value: float = 1.0) -> list[optuna.Trial]:
    study = optuna.create_study(sampler=ArmSampler(plan, seed))
    trials = []
    for _ in range(told):
        trials.append(study.ask(search_space(plan)))
        study.tell(trials[-1], value)
    return trials


def test_every_trial_has_its_arms_values_and_all_other_parameters() -> None:
    plan = load_study("depth_study").plan("laptop")
    for trial in _ask(plan, 0, 14):
        assert set(trial.params) == {axis.path for axis in plan.axes}
        for path, value in plan.arm_of(trial.number).fixed.items():
            assert trial.params[path] == value
            assert isinstance(trial.params[path], int)


def test_the_seed_decides_the_proposals(plan: Plan) -> None:
    first, second, other = ([trial.params for trial in _ask(plan, seed, 12)] for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_threads_that_ask_one_sampler_at_once_are_proposed_what_each_is_alone(plan: Plan) -> None:
    study, space = _ask(plan, 0, 24)[0].study, search_space(plan)

    def proposed(number: int) -> dict[str, object]:
        trial = study.get_trials(deepcopy=False)[number]
        return study.sampler.sample_relative(study, trial, space)

    alone = [proposed(number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(proposed, [*range(24), *range(24)])) == alone * 2


def test_an_arm_learns_from_its_own_trials_alone(plan: Plan) -> None:
    """The arms' optima are three decades apart; each arm's later proposals go to its own."""
    study = optuna.create_study(sampler=ArmSampler(plan, 0))
    optimum = {2: 1e-4, 4: 3e-2}
    for _ in range(80):
        trial = study.ask(search_space(plan))
        target = optimum[trial.params["model.encoder_depth"]]
        study.tell(trial, math.log10(trial.params["optim.lr"] / target) ** 2)
    for depth, target in optimum.items():
        late = [t.params["optim.lr"] for t in study.trials[40:] if t.params["model.encoder_depth"] == depth]
        late.sort()
        median = late[len(late) // 2]
        assert abs(math.log10(median / target)) < 0.75


def test_infinite_objectives_drive_the_sampler_away_and_failed_trials_do_not(plan: Plan) -> None:
    """A cliff at lr = 1e-3. Failed trials would be dropped, and the bad region proposed for ever."""

    def proposals_over_the_cliff(seed: int, told_as: dict[str, object]) -> int:
        study = optuna.create_study(sampler=ArmSampler(plan, seed))
        for _ in range(60):
            trial = study.ask(search_space(plan))
            lr = trial.params["optim.lr"]
            study.tell(trial, **(told_as if lr > 1e-3 else {"values": -math.log10(lr)}))  # type: ignore[arg-type]
        return sum(trial.params["optim.lr"] > 1e-3 for trial in study.trials[20:])

    infinite = sum(proposals_over_the_cliff(seed, {"values": math.inf}) for seed in range(3))
    failed = sum(proposals_over_the_cliff(seed, {"state": optuna.trial.TrialState.FAIL}) for seed in range(3))
    assert infinite < 0.6 * failed


def test_a_queued_trial_keeps_its_parameters(plan: Plan) -> None:
    study = optuna.create_study(sampler=ArmSampler(plan, 0))
    wanted = {"model.encoder_depth": 4, "optim.lr": 0.05}
    study.enqueue_trial(wanted)
    assert study.ask(search_space(plan)).params == wanted


DEPRECATED = {
    *("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "gamma", "weights"),
    *("warn_independent_sampling", "constraints_func"),
}
PROPOSED = [
    (0.00228, 0.092, 5, "none"),
    (1.23e-05, 0.163, 5, "none"),
    (1.51e-05, 0.206, 8, "none"),
    (0.00046, 0.167, 2, "none"),
    (0.0812, 0.402, 5, "none"),
    (2.79e-05, 0.285, 2, "norm"),
    (0.00175, 0.062, 8, "norm"),
    (0.00392, 0.153, 7, "norm"),
    (6.1e-05, 0.051, 5, "none"),
    (0.000112, 0.102, 8, "none"),
]
"""Of Optuna 5.0, from the fifth trial on; before, its defaults led to the same."""


def test_no_argument_of_the_sampler_is_left_to_a_default() -> None:
    arguments = set(inspect.signature(optuna.samplers.TPESampler).parameters)
    assert arguments - DEPRECATED - {"seed"} == set(TPE)


def test_the_proposals_of_a_seed_and_a_history_do_not_change() -> None:
    """Divergences among what was told, and two trials that still run while the last are asked for."""
    axes = (
        FloatAxis(path="optim.lr", low=1e-5, high=1e-1, log=True),
        FloatAxis(path="objective.kl_warmup_fraction", low=0.05, high=0.5),
        IntAxis(path="model.encoder_depth", low=2, high=8),
        ChoiceAxis(path="optim.clip", choices=("none", "norm")),
    )
    plan = Plan(base=SMOKE, axes=axes, trials=12)
    study = optuna.create_study(sampler=ArmSampler(plan, 0))
    for _ in range(12):
        trial = study.ask(search_space(plan))
        rate, warmup = trial.params["optim.lr"], trial.params["objective.kl_warmup_fraction"]
        study.tell(trial, math.inf if rate > 2e-2 else 1 + (math.log10(rate) + 3) ** 2 + warmup)
    for _ in range(2):
        study.ask(search_space(plan))
    proposed = [tuple(trial.params[axis.path] for axis in axes) for trial in study.trials[4:]]
    for found, held in zip(proposed, PROPOSED, strict=True):
        assert found[:2] == pytest.approx(held[:2], rel=1e-2)
        assert found[2:] == held[2:]
