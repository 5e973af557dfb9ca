"""What ten thousand trials cost: `status`, the start of `run`, the next ask and tell; and many workers.

python -m tests.benchmarks.scale --trials 10000
python -m tests.benchmarks.scale --workers 64 --storage postgresql+psycopg://...
"""

import argparse
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from sweep.engine import agenda
from sweep.recovery import attempts
from sweep.search.sampling import ArmSampler, search_space, suggest
from sweep.store.home import Home
from sweep.store.keys import RECONCILED
from sweep.store.sql_summary import count
from sweep.store.storage import open_optuna, read_all, study_lock
from sweep.study import Plan, load_study

FILLED = str(Path(__file__).with_name("filled_study.py"))


def fill(
    storage: optuna.storages.RDBStorage, study: optuna.Study, plan: Plan, first: int, trials: int
) -> None:
    """Finished trials from number `first` on, as rows: Optuna itself would take a quarter of an hour."""
    space = search_space(plan)
    rng = np.random.default_rng(0)
    tables = {name: model.__table__ for name, model in vars(models).items() if hasattr(model, "__table__")}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("params", "values", "attrs", "trials")}
    now = datetime.now()
    for number in range(first, first + trials):
        arm = plan.arm_of(number)
        trial_id = number + 1
        rows["trials"].append(
            {
                "trial_id": trial_id,
                "number": number,
                "study_id": study._study_id,
                "state": TrialState.COMPLETE,
                "datetime_start": now,
                "datetime_complete": now,
            }
        )
        value = float(rng.normal(1000, 50))
        kind = models.TrialValueModel.TrialValueType.FINITE
        rows["values"].append({"trial_id": trial_id, "objective": 0, "value": value, "value_type": kind})
        for path, dist in space.items():
            single = optuna.samplers.RandomSampler(seed=number)
            chosen = arm.fixed.get(path)
            if chosen is None:
                chosen = single.sample_independent(study, None, path, dist)  # type: ignore[arg-type]
            rows["params"].append(
                {
                    "trial_id": trial_id,
                    "param_name": path,
                    "param_value": dist.to_internal_repr(chosen),
                    "distribution_json": distribution_to_json(dist),
                }
            )
        facts = {
            "phase": "explore",
            "arm": arm.name,
            "outcome": "budget",
            "seed": number,
            "mlflow_run_id": f"run{number}",
            "run_key": f"key{number}",
            "claimed": {"by": "host:boot:ns 1 1", "given": ["arm", "phase"]},
            **{f"stability/{index}": value for index in range(12)},
        }
        rows["attrs"] += [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(fact)} for key, fact in facts.items()
        ]
    names = {
        "trials": "TrialModel",
        "values": "TrialValueModel",
        "params": "TrialParamModel",
        "attrs": "TrialUserAttributeModel",
    }
    with storage.engine.begin() as connection:
        for kind, name in names.items():
            for start in range(0, len(rows[kind]), 20_000):
                connection.execute(sqlalchemy.insert(tables[name]), rows[kind][start : start + 20_000])


def seconds(what: str, work: Any) -> Any:
    began, used = time.perf_counter(), time.process_time()
    answer = work()
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{what:40} {wall:8.2f} s, {cpu:6.2f} s of it computing", flush=True)
    return answer


def many_trials(trials: int) -> None:
    """A real study of one trial, filled up, and the commands that a user gives then."""
    plan = load_study("depth_study").plan("smoke").model_copy(update={"confirm": None})
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).create()
        sweep(home, "run", FILLED, "--scale", "smoke", "--device", "cpu", "--trials", "1").wait()
        storage = open_optuna(home)
        study = optuna.load_study(study_name="filled", storage=storage)
        begun = len(study.get_trials(deepcopy=False))
        seconds(f"writing {trials} trials", lambda: fill(storage, study, plan, begun, trials))
        # As any `run` leaves behind what it found in order: the trials have no MLflow runs to look at.
        study.set_user_attr(RECONCILED, begun + trials)
        seconds("`sweep status`, the whole command", lambda: sweep(home, "status", "filled").wait())
        process = seconds("`sweep run` until its first trial runs", lambda: _start(home, study._study_id))
        seconds("its one trial, to its end", process.wait)
        storage.engine.dispose()
        fresh = optuna.load_study(study_name="filled", storage=open_optuna(home), sampler=ArmSampler(plan, 0))
        seconds("status (counted in the database)", lambda: count(fresh))
        seconds("loading all trials once, as `run` does", lambda: read_all(fresh))

        def ask_and_tell() -> None:
            with study_lock(fresh):
                parts = agenda.phases(plan, trials + 100)
                request = agenda.next_request(parts, fresh.get_trials(deepcopy=False))
                assert request is not None
                request.enqueue(fresh)
                claimed = attempts.claim(fresh, "benchmark")
            assert claimed is not None
            trial = optuna.Trial(fresh, claimed._trial_id)
            suggest(trial, search_space(plan))
            attempts.finish(fresh, claimed._trial_id, TrialState.COMPLETE, [1.0])

        for _ in range(3):
            seconds("the next ask and tell", ask_and_tell)


def sweep(home: Home, *words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"SWEEP_HOME": str(home.root)}
    return subprocess.Popen(
        [sys.executable, "-m", "sweep", *words], env=environment, stdout=subprocess.DEVNULL
    )


def _start(home: Home, study: int) -> subprocess.Popen[bytes]:
    """Ends when the database holds a running trial: Optuna's own copy of the trials would cost a second."""
    query = f"select count(*) from trials where study_id = {study} and state = '{TrialState.RUNNING.name}'"
    process = sweep(home, "run", FILLED, "--scale", "smoke", "--device", "cpu", "--trials", "1")
    with sqlite3.connect(home.optuna_url.removeprefix("sqlite:///")) as connection:
        while connection.execute(query).fetchone()[0] == 0:
            if process.poll() is not None:
                raise RuntimeError("`sweep run` ended before it had a trial")
            time.sleep(0.05)
    connection.close()
    return process


def _work(home: Home, budget_s: float, together: Any, done: Any) -> None:
    study = optuna.load_study(study_name="many", storage=open_optuna(home, wait=True))

    def one() -> None:
        with study_lock(study):
            study.enqueue_trial({"x": 0.5}, user_attrs={"phase": "explore"})
            claimed = attempts.claim(study, "benchmark")
        assert claimed is not None
        optuna.Trial(study, claimed._trial_id).suggest_float("x", 0, 1)
        for key in range(8):
            study._storage.set_trial_user_attr(claimed._trial_id, f"fact {key}", 1.0)
        attempts.finish(study, claimed._trial_id, TrialState.COMPLETE, [1.0])

    one()  # The first of a process compiles every question to the database: half a second.
    together.wait()
    end, finished = time.monotonic() + budget_s, 0
    while time.monotonic() < end:
        one()
        finished += 1
    done.put(finished)


def many_workers(storage: str, counts: list[int], budget_s: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder), storage).create()
        optuna.create_study(study_name="many", storage=open_optuna(home), load_if_exists=True)
        # Forked, they would share the connections of this process.
        context = multiprocessing.get_context("spawn")
        for workers in counts:
            together, done = context.Barrier(workers), context.Queue()
            args = home, budget_s, together, done
            processes = [context.Process(target=_work, args=args) for _ in range(workers)]
            for process in processes:
                process.start()
            total = sum(done.get() for _ in processes)
            for process in processes:
                process.join()
            print(f"{workers:3} workers: {total / budget_s:6.1f} trials a second", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--storage")
    parser.add_argument("--workers", type=int, nargs="+", default=[])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    if options.workers:
        many_workers(options.storage, options.workers, options.seconds)
    else:
        many_trials(options.trials)


if __name__ == "__main__":
    main()
