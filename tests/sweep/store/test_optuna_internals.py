"""Optuna's private names are used in one module, and the installed Optuna has them."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage

from sweep.store import keys, optuna_internals
from sweep.store.home import Home
from sweep.store.links import run_linker
from sweep.store.storage import open_optuna

ROOT = Path(__file__).resolve().parents[3]
ADAPTER = ROOT / "sweep" / "store" / "optuna_internals.py"
PRIVATE = {
    "_storage",
    "_study_id",
    "_trial_id",
    "_suggest",
    "_contains",
    "_backend",
    "_get_trials",
    "_create_new_trial",
    "_set_trial_param",
    "_cached_frozen_trial",
}


def private_uses(source: str) -> list[str]:
    """Private names of Optuna that a module reads from something other than itself, or imports."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                found.append(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna."):
            names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            found += [name for name in names if name.startswith("_")]
    return found


@pytest.mark.parametrize(
    "code",
    [
        "study._storage.get_trial(3)",
        "f(trial._trial_id)",
        "from optuna.storages._rdb import models",
        "from optuna.storages._rdb.models import TrialModel",
    ],
)
def test_a_use_is_found_in_any_form(code: str) -> None:
    assert private_uses(code)


def test_only_the_adapter_uses_private_names() -> None:
    files = [path for path in (ROOT / "sweep").rglob("*.py") if path != ADAPTER]
    assert len(files) > 50
    assert {path.name: uses for path in files if (uses := private_uses(path.read_text()))} == {}
    assert private_uses(ADAPTER.read_text())


def test_the_installed_optuna_has_every_private_name(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    study.enqueue_trial({"x": 0.25})
    live = study.ask()
    stored = study.get_trials(deepcopy=False)[0]
    assert isinstance(optuna_internals.storage_of(study), BaseStorage)
    assert optuna_internals.engine_of(study).name == "sqlite"
    assert optuna_internals.study_id(study) == 1
    assert optuna_internals.trial_id(live) == optuna_internals.trial_id(stored)
    assert optuna_internals.frozen(live).number == live.number
    assert optuna_internals.fixed_params(stored) == {"x": 0.25}
    again = optuna_internals.live_trial(study, stored)
    assert optuna_internals.suggest(again, "x", FloatDistribution(0.0, 1.0)) == 0.25
    assert optuna_internals.contains(FloatDistribution(0.0, 1.0), 0.5)
    assert not optuna_internals.contains(FloatDistribution(0.0, 1.0), 1.5)
    for name in optuna_internals.CACHE_CALLS:
        assert callable(getattr(RDBStorage, name))
    parameters = list(inspect.signature(RDBStorage._get_trials).parameters)
    assert parameters == list(inspect.signature(optuna_internals.RowStorage._get_trials).parameters)
    assert callable(optuna_internals.models.TrialModel.find_or_raise_by_id)
    for model in ("Trial", "TrialValue", "TrialParam", "TrialUserAttribute", "TrialIntermediateValue"):
        assert getattr(optuna_internals.models, f"{model}Model").__table__ is not None


def test_attributes_are_set_together_or_not_at_all(home: Home, opened: Callable[[Home], RDBStorage]) -> None:
    study = optuna.create_study(storage=opened(home))
    trial = study.ask()
    optuna_internals.set_attrs(trial, {"a": 1, "b": [2.5, None]})
    optuna_internals.set_attrs(trial, {"a": "again"})
    optuna_internals.set_attrs(trial, {})
    assert optuna_internals.frozen(trial).user_attrs == trial.user_attrs == {"a": "again", "b": [2.5, None]}
    with pytest.raises(TypeError):
        optuna_internals.set_attrs(trial, {"c": 3, "d": object()})
    assert "c" not in optuna_internals.frozen(trial).user_attrs
    study.tell(trial, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        optuna_internals.set_attrs(trial, {"a": "too late"})
    assert optuna_internals.frozen(trial).user_attrs["a"] == "again"


def test_what_was_stored_after_a_trials_end_is_read_again(tmp_path: Path) -> None:
    storage = open_optuna(Home(tmp_path).create())
    study = optuna.create_study(storage=storage, study_name="tiny")
    study.tell(study.ask(), 1.0)
    (known,) = study.get_trials(deepcopy=False)
    run_linker(storage)("tiny", 0, "late")
    assert keys.RUN_ID not in study.get_trials(deepcopy=False)[0].user_attrs
    assert optuna_internals.reread(study, known).user_attrs[keys.RUN_ID] == "late"
    assert optuna_internals.fresh(study).get_trials(deepcopy=False)[0].user_attrs[keys.RUN_ID] == "late"


def test_attributes_are_set_in_any_storage_and_of_a_trial_in_none() -> None:
    for trial in (optuna.create_study().ask(), optuna.trial.FixedTrial({})):
        optuna_internals.set_attrs(trial, {"a": 1, "b": 2})
        assert trial.user_attrs == {"a": 1, "b": 2}
