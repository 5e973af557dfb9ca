"""Homes whose stores hold trials that were never trained: too many, too odd or too rare to run."""

import json
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import (
    TrialModel,
    TrialParamModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.search.request import Request
from sweep.search.sampling import search_space
from sweep.store.home import Home
from sweep.store.links import DEFAULT_TRACKER
from sweep.store.storage import open_optuna
from sweep.study import Plan, load_study
from sweep.tracking import trackers

RUN = "0123456789abcdef0123456789abcdef"


def depth_plan() -> Plan:
    return load_study("depth_study").plan("laptop")


def finished(
    plan: Plan,
    params: dict[str, Any],
    value: float,
    attrs: dict[str, Any],
    state: TrialState = TrialState.COMPLETE,
) -> FrozenTrial:
    space: dict[str, BaseDistribution] = search_space(plan)
    return create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params=params,
        distributions={path: space[path] for path in params},
        user_attrs=attrs,
    )


def explored(plan: Plan, count: int, seed: int = 0, diverged: float = 0.1) -> list[FrozenTrial]:
    """Trials of a made-up study: best near a rate of 2e-3 and a depth of 4 to 5; large rates diverge."""
    noise = np.random.default_rng(seed)
    arms = [arm for arm in plan.arms if arm.fixed]
    trials = []
    for number in range(count):
        arm = arms[number % len(arms)]
        depth = float(arm.fixed["model.encoder_depth"])
        rate = 10 ** noise.uniform(-4, -2)
        log = math.log(320) + 0.3 * (math.log10(rate) + 2.7) ** 2 + 0.02 * (depth - 4.5) ** 2
        lost = noise.random() < diverged
        value = math.inf if lost else math.exp(log + 0.04 * noise.standard_normal())
        params = dict(arm.fixed) | {
            "optim.lr": rate,
            "optim.clip": ("none", "norm")[number % 2],
            "optim.clip_norm_relative": 10 ** noise.uniform(-1, 1),
            "objective.kl_schedule": ("constant", "linear", "cosine", "cyclical")[number % 4],
            "objective.kl_warmup_fraction": noise.uniform(0.05, 0.5),
        }
        trials.append(finished(plan, params, value, _attrs(number, arm.name, "explore", number, lost, noise)))
    return trials


def in_blocks(
    plan: Plan, explore: Sequence[FrozenTrial], blocks: int = 9, seed: int = 1
) -> list[FrozenTrial]:
    """What the blocks ask for, finished: depths of 4 and 5 are 20 % better, a rate of 1e-3 the best."""
    from sweep.search.block import InBlocks

    study = optuna.create_study()
    study.add_trials(explore)
    noise = np.random.default_rng(seed)
    made: list[FrozenTrial] = []
    while request := InBlocks(plan, blocks).next(study.get_trials(deepcopy=False)):
        log = -0.2 * (request.params["model.encoder_depth"] in (4, 5))
        log += 0.2 * abs(math.log10(request.params["optim.lr"]) + 3) + 0.03 * noise.standard_normal()
        trial = _answer(plan, request, 350 * math.exp(log), len(explore) + len(made), noise)
        trial.set_user_attr("test/objective", 1.02 * trial.value)
        trial.set_user_attr("quality/kid_imagenet", 0.1 * math.exp(0.05 * noise.standard_normal()))
        made.append(trial)
        study.add_trial(trial)
    return made


def _answer(
    plan: Plan, request: Request, value: float, number: int, noise: np.random.Generator
) -> FrozenTrial:
    assert request.seed is not None
    attrs = _attrs(number, str(request.attrs["arm"]), request.phase, request.seed, False, noise)
    return finished(plan, dict(request.params), value, attrs | request.user_attrs())


def _attrs(
    number: int, arm: str, phase: str, seed: int, lost: bool, noise: np.random.Generator
) -> dict[str, Any]:
    return {
        "phase": phase,
        "arm": arm,
        "seed": seed,
        "outcome": "diverged" if lost else "budget",
        "reason": "mean loss of the last 20 steps not below the first" if lost else "all epochs done",
        "mlflow_run_id": f"{number:032x}",
        "stability/grad_norm_volatility": float(10 ** noise.uniform(-1.5, 0.3)),
        "best_epoch": 12,
        "epochs": 12,
        "steps": 204,
        "model/head_fan_in": 2048,
        "train_seconds": 5.0,
    }


def store(
    root: Path,
    trials: Sequence[FrozenTrial],
    name: str = "depth_study",
    plan: Plan | None = None,
    text: str = "",
    tracker: str = DEFAULT_TRACKER,
) -> Home:
    """A home with one study, its experiment and its parent run."""
    home = Home(root, tracker=tracker).create()
    study = optuna.create_study(study_name=name, storage=open_optuna(home), direction="minimize")
    runs = trackers.build(home)
    experiment = runs.experiment("made up", text)
    run_id = runs.create(experiment, "made up", "made up", {}, 0)
    (home.cache / "provenance.json").write_text(json.dumps(PROVENANCE))
    runs.file(run_id, "provenance.json", home.cache / "provenance.json")
    runs.end(run_id, "FINISHED", 1)
    plan = plan or depth_plan()
    attrs = {
        "study": "depth_study",
        "summary": text,
        "scale": "laptop",
        "plan": plan.model_dump_json(),
        "data_hash": "none",
        "tracker": tracker,
        "mlflow_experiment_id": experiment,
        "mlflow_run_id": run_id,
        "seconds": 3600.0,
    }
    for key, value in attrs.items():
        study.set_user_attr(key, value)
    _insert(study, trials)
    return home


def _insert(study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """As `study.add_trials`, which takes 27 ms a trial."""
    storage = RDBStorage(study._storage._backend.url)  # type: ignore[attr-defined]
    first = 1
    now = datetime.now()
    rows: dict[Any, list[dict[str, Any]]] = {
        m: [] for m in (TrialModel, TrialValueModel, TrialParamModel, TrialUserAttributeModel)
    }
    for number, trial in enumerate(trials):
        key = first + number
        rows[TrialModel].append(
            {
                "trial_id": key,
                "number": number,
                "study_id": study._study_id,
                "state": trial.state,
                "datetime_start": now,
                "datetime_complete": now + timedelta(seconds=5),
            }
        )
        if trial.values:
            stored, kind = TrialValueModel.value_to_stored_repr(trial.values[0])
            rows[TrialValueModel].append(
                {"trial_id": key, "objective": 0, "value": stored, "value_type": kind}
            )
        for name, value in trial.params.items():
            space = trial.distributions[name]
            rows[TrialParamModel].append(
                {
                    "trial_id": key,
                    "param_name": name,
                    "param_value": space.to_internal_repr(value),
                    "distribution_json": distribution_to_json(space),
                }
            )
        for name, value in trial.user_attrs.items():
            rows[TrialUserAttributeModel].append(
                {"trial_id": key, "key": name, "value_json": json.dumps(value)}
            )
    with storage.engine.begin() as connection:
        for model, values in rows.items():
            if values:
                connection.execute(model.__table__.insert(), values)


PROVENANCE = {
    "commit": "unknown",
    "versions": {"python": "3.11"},
    "machine": {"system": "made up", "processor": "made up", "cores": 2},
    "diff_lines": 0,
}
