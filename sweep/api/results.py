"""`sweep.results`: what a study in the store found, as a table, models and pictures."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from PIL import Image

from sweep.errors import UserError
from sweep.store.home import Home
from sweep.store.optuna_internals import storage_of
from sweep.store.storage import load, open_optuna
from sweep.store.study_view import StudyView
from sweep.store.summary import Best, Summary, summarise
from sweep.store.trials import TrialView, views
from sweep.study import Plan
from sweep.study.config import flatten

if TYPE_CHECKING:
    import pandas as pd

    from sweep.border.map import BorderMap
    from sweep.evidence.finding import Judged
    from vae.model.protocol import Autoencoder

METRICS = ("best_epoch", "epochs", "steps", "train_seconds", "last_finite_loss")
"""Measured quantities whose names have no slash; all other names are like `stability/max_logvar`."""


def results(
    name: str,
    home: str | os.PathLike[str] | None = None,
    *,
    storage: str | None = None,
    tracking_uri: str | None = None,
) -> "Results":
    """The results of a study in the store.

    Args:
        name: the study's name in the store.
        home: the folder that the study was run in; default SWEEP_HOME, or ./mlruns.
        storage, tracking_uri: stores other than the files in `home`.

    Raises:
        UserError: there is no such study.
    """
    place = find_home(home, storage, tracking_uri)
    if not place.has_stores():
        raise UserError(f"there is no store in {place.root}: `sweep.run` creates one")
    return Results(place, name)


def find_home(
    home: str | os.PathLike[str] | None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    checkpoint_uri: str | None = None,
    tracker: str | None = None,
) -> Home:
    """The folder `home`, or the default, with its stores."""
    found = Home.find(storage, tracking_uri, checkpoint_uri, tracker)
    return found if home is None else replace(found, root=Path(home).expanduser().resolve())


class Results:
    """What the stores know of a study; read again at every access, so it can be used while the study runs.

    name: of the study in the store. stopped: why the run that returned this ended before the study was
    complete, such as a timeout; None where it did not.
    """

    def __init__(self, home: Home, name: str, stopped: str | None = None) -> None:
        self.home, self.name, self.stopped = home.root, name, stopped
        self._home = home
        self._study = load(open_optuna(home), name)

    def __repr__(self) -> str:
        best = self.best
        found = (
            "no finite objective"
            if best is None
            else f"best objective {best.value:.4g} in trial {best.trial}"
        )
        return f"<Results of {self.name!r} in {self.home}: {len(self._trials())} trials, {found}>"

    @property
    def plan(self) -> Plan:
        """What was searched: base config, axes, arms."""
        return StudyView.of(self._study).plan

    @property
    def summary(self) -> Summary:
        """Counts by state and outcome, the best trial, seconds of running."""
        return summarise(self._study)

    @property
    def best(self) -> Best | None:
        """The trial with the lowest finite objective (`trial`, `value`, `params`, `run_id`, `seed`)."""
        return self.summary.best

    @property
    def verdicts(self) -> "list[Judged]":
        """Of each claim that it declares, on each endpoint: `verdict`, `why` and `findings`."""
        from sweep.evidence.verdicts import verdicts

        return verdicts(self.plan, views(self._trials(), self.plan))

    @property
    def table(self) -> "pd.DataFrame":
        """One row per trial, in the order of their numbers.

        Columns: `number`, `state`, `phase`, `arm`, `block`, `seed`; every setting that is searched or that
        tells arms or phases apart, by its path; `outcome`, `reason`; `objective` (smaller is better; inf
        where the trial diverged, nan where it has none); every measured metric, such as
        `stability/max_logvar`; `run_id` of the tracker's run.
        """
        import pandas as pd

        plan, trials = self.plan, views(self._trials(), self.plan)
        axes, others = _settings(plan, trials)
        base = flatten(plan.base.model_dump(mode="json"))
        metrics = sorted({key for trial in trials for key in trial.attrs if _is_metric(trial, key)})
        rows = [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "phase": trial.phase,
                "arm": trial.arm,
                "block": trial.block,
                "seed": trial.seed,
                **{path: trial.value(path) for path in axes},
                **{path: trial.settings.get(path, base.get(path)) for path in others},
                "outcome": trial.outcome,
                "reason": trial.reason,
                "objective": _objective(trial),
                **{key: trial.attrs.get(key, math.nan) for key in metrics},
                "run_id": trial.run_id,
            }
            for trial in trials
        ]
        fixed = [
            "number",
            "state",
            "phase",
            "arm",
            "block",
            "seed",
            "outcome",
            "reason",
            "objective",
            "run_id",
        ]
        return pd.DataFrame(rows, columns=None if rows else fixed)

    def model(self, trial: int | None = None) -> "Autoencoder":
        """The network of a trial (default: the best) with its selected weights, in evaluation mode.

        Raises:
            UserError: there is no such trial, or it left no weights on this machine.
        """
        from sweep.report.samples import load_model

        return load_model(self._home, self.name, self._number(trial))

    def samples(self, trial: int | None = None, count: int = 64, seed: int = 0) -> Image.Image:
        """`count` samples from a trial's decoder (default: the best trial's), in a square grid.

        The same seed gives the same picture. Raises UserError as `model` does.
        """
        from sweep.report.samples import draw

        return draw(self._home, self.name, self._number(trial), count, seed)

    def pictures(self, trial: int | None = None) -> Image.Image:
        """The grid that a trial recorded at its end: originals, reconstructions and samples in three rows.

        Raises:
            UserError: there is no such trial, or its picture is not on this machine.
        """
        number = self._number(trial)
        stored = optuna.artifacts.get_all_artifact_meta(
            self._trials()[number], storage=storage_of(self._study)
        )
        pictures = [meta for meta in stored if meta.mimetype.startswith("image/")]
        if pictures:
            path = self._home.optuna_artifacts / pictures[-1].artifact_id
            if path.exists():
                with Image.open(path) as picture:
                    return picture.convert("RGB")
        raise UserError(f"trial {number} of {self.name!r} left no picture in {self._home.optuna_artifacts}")

    def report(self) -> Path:
        """Write the study's report as one HTML page; returns its path."""
        from sweep.report import write_report

        path, _ = write_report(self._home, self._study)
        return path

    def border_map(self) -> "BorderMap":
        """The map of a border study; `columns` of its `models[label]` are the border by column.

        Raises:
            UserError: the study maps no border.
        """
        from sweep.border.map import stored_map

        return stored_map(self._study)

    def write_map(self) -> list[Path]:
        """Write the map of a border study as JSON, HTML and PNG; returns their paths."""
        from sweep.border.write import write_map

        return write_map(self._home, self.border_map())

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _number(self, trial: int | None) -> int:
        if trial is None:
            if (best := self.best) is None:
                raise UserError(f"no trial of {self.name!r} has a finite objective: choose one by its number")
            return best.trial
        if not 0 <= trial < len(self._trials()):
            raise UserError(
                f"{self.name!r} has no trial {trial}: its trials are numbered from 0 to "
                f"{len(self._trials()) - 1}"
            )
        return trial


def _settings(plan: Plan, trials: Sequence[TrialView]) -> tuple[list[str], list[str]]:
    """The paths of the axes, and those that some arms or phases set to another value than the base."""
    axes = [axis.path for axis in plan.axes if axis.path != "seed"]
    arms = [path for arm in plan.arms for path in arm.settings]
    phases = [path for trial in trials for path in trial.settings]
    return axes, list(dict.fromkeys(path for path in [*arms, *phases] if path not in axes))


def _is_metric(trial: TrialView, key: str) -> bool:
    return ("/" in key or key in METRICS) and isinstance(trial.attrs[key], int | float)


def _objective(trial: TrialView) -> float:
    if trial.objective is not None:
        return trial.objective
    return math.inf if trial.diverged else math.nan
