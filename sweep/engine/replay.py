"""`sweep replay`: train a finished trial again from its stored config, and compare metric by metric."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import TrialState

from data_io.tiles.tileset import TileSet
from sweep.engine.planning import check_plan
from sweep.engine.run import load_tiles
from sweep.engine.training import train_on
from sweep.engine.workers import DETERMINISTIC
from sweep.errors import UserError
from sweep.store.checkpoints import Checkpoints
from sweep.store.home import Home
from sweep.store.trials import TrialView
from sweep.study import Plan
from sweep.study.config import TrialConfig, with_settings
from sweep.tracking import trackers
from sweep.tracking.hooks import RecordingHooks
from sweep.tracking.run import Run
from sweep.tracking.series import Series

EXEMPT = ("time/",)
"""Times and speeds, which depend on what else the machine does."""

Points = dict[str, dict[int, float]]
"""Metric -> step -> value."""


@dataclass
class Comparison:
    """How the metrics that a run and its repetition share compare."""

    compared: int = 0
    points: int = 0
    different: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    """Metric -> the first step that differs, and its value in the run and now."""

    def as_dict(self) -> dict[str, Any]:
        found = {k: {"step": s, "run": a, "replay": b} for k, (s, a, b) in self.different.items()}
        return {"metrics": self.compared, "points": self.points, "different": found}

    def text(self) -> str:
        lines = [f"{self.compared} metrics, {self.points} points, {len(self.different)} metrics differ"]
        lines += [
            f"  {name}: step {step}: {run!r} in the run, {now!r} now"
            for name, (step, run, now) in sorted(self.different.items())
        ]
        return "\n".join(lines)


def replay_trial(home: Home, study: optuna.Study, number: int, data: str | None) -> Comparison:
    """Train a finished trial again from its stored config, and compare every metric.

    data: where this machine keeps the study's images, if elsewhere.

    Raises:
        UserError: the trial has no finished run, the images here differ, or its network is gone.
    """
    trials = study.get_trials(deepcopy=False)
    if number >= len(trials) or trials[number].state is not TrialState.COMPLETE:
        raise UserError(f"trial {number} of {study.study_name!r} is not finished: choose another")
    tracker = trackers.build(home, study)
    run_id = TrialView(trials[number]).run_id
    run = tracker.run(run_id) if run_id else None
    document = None if run is None else tracker.artifact(run.id, "config.json")
    if run is None or document is None:
        raise UserError(f"trial {number} of {study.study_name!r} has no run: `sweep doctor --fix` first")
    config = TrialConfig.model_validate(json.loads(document))
    if data is not None:
        config = with_settings(config, {"data.source": data})
    plan = Plan(base=config, axes=(), trials=1)
    check_plan(plan)
    tiles = load_tiles(plan, home)
    if tiles.content_hash != run.tags.get("data_hash", tiles.content_hash):
        raise UserError(f"{config.data.source} is not the data of trial {number}: name it with --data")
    stored = {metric: dict(tracker.history(run.id, metric)) for metric in run.metrics}
    return compare(stored, _train(home, config, tiles))


def _train(home: Home, config: TrialConfig, tiles: TileSet) -> Points:
    """Train with this config; returns the metrics that its run writes."""
    if config.device != "cpu":
        for name, value in DETERMINISTIC.items():  # as in a worker
            os.environ.setdefault(name, value)
    sink = _Sink()
    hooks = RecordingHooks(
        run=cast(Run, sink),
        trial=cast(optuna.Trial, optuna.trial.FixedTrial({})),
        artifacts=FileSystemArtifactStore(home.optuna_artifacts),
        series=Series(Checkpoints(home, "replay", 0)),
        progress=lambda facts: False,
    )
    hooks.final_metrics(train_on(tiles, config, hooks))
    return sink.points


def compare(run: Mapping[str, Mapping[int, float]], now: Points) -> Comparison:
    """Compare every point of the run that a repetition can have; a point missing now counts as different."""
    result = Comparison()
    for name in sorted(run):
        if name.startswith(EXEMPT) or name not in now:
            continue
        result.compared += 1
        for step, value in sorted(run[name].items()):
            result.points += 1
            again = now[name].get(step, float("nan"))
            if again != value:
                result.different.setdefault(name, (step, value, again))
    return result


class _Sink:
    """Stands in for a run and keeps its metrics; like a run, only the first value of a step."""

    def __init__(self) -> None:
        self.points: Points = {}

    def metric(self, key: str, value: float, step: int = 0) -> None:
        if math.isfinite(value):
            self.points.setdefault(key, {}).setdefault(step, value)

    def params(self, params: Mapping[str, Any]) -> None: ...

    def image(self, image: Any, metric: str, step: int) -> None: ...

    def flush(self) -> None: ...
