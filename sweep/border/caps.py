"""A map in the store keeps the trials of other studies inside the border.

Trials beyond the border of the label `useless` (of `nonfinite`, where that was not mapped) say nothing
that the map has not said already, so an arm's learning rate is searched below the lower end of its band.
"""

from collections.abc import Mapping
from typing import Any

import optuna

from sweep.border.model import BorderModel
from sweep.border.phases import models
from sweep.store.home import Home
from sweep.store.study_view import StudyView
from sweep.store.trials import LR
from sweep.study import Plan
from sweep.study.config import TrialConfig, flatten
from vae.stability.labels import Label

PREFERRED: tuple[Label, ...] = ("useless", "nonfinite")
UNRELATED = frozenset(
    {
        "seed",
        "epochs",
        "threads",
        "device",
        "step",
        "pruner",
        "checkpoint_seconds",
        "picture_every",
        "quality_draws",
        "quality_features",
        "quality_features_sha256",
        "curvature_every",
        "early_stopping_patience",
    }
)
"""Settings that do not move a border: where and for how long a run is trained, and what is measured of it."""
OF_A_LENGTH: Label = "useless"
"""Judged at a run's end: a map of runs of another length serves without it. From 24 epochs to 12 it moved by
up to 0.4 decades in three columns."""
ROOM = 10.0
"""An arm keeps at least this ratio of learning rates to search, whatever the map says."""


def with_caps(plan: Plan, home: Home) -> tuple[Plan, str | None]:
    """The plan with the caps of its arms from the newest map of the same base, and the name of that study."""
    if plan.border or not home.has_stores():
        return plan, None
    from sweep.store.storage import open_optuna

    store = open_optuna(home)
    for name in reversed([summary.study_name for summary in store.get_all_studies()]):
        study = optuna.load_study(study_name=name, storage=store)
        mapped = StudyView.of(study)
        if not mapped.maps_border:
            continue
        theirs = mapped.plan
        assert theirs.border is not None
        if not same_base(plan, theirs):
            continue
        found = models(theirs.border, theirs.base, study.get_trials(deepcopy=False))
        if theirs.base.epochs != plan.base.epochs:
            found.pop(OF_A_LENGTH, None)
        caps = inside_border(plan, found)
        if caps:
            return plan.model_copy(update={"caps": caps, "capped_by": name}), name
    return plan, None


def inside_border(plan: Plan, found: Mapping[Label, BorderModel]) -> dict[str, float]:
    """Arm -> the largest learning rate inside the border; arms without one are left out.

    An arm has one where the plan searches the learning rate, the arm lies between columns of the map whose
    border was found, and enough room is left below it.
    """
    model = next((found[label] for label in PREFERRED if label in found and found[label].is_found), None)
    searched = {axis.path: axis for axis in plan.axes}
    axis = searched.get(LR)
    if model is None or model.plane.searched != LR or axis is None or axis.kind != "float":
        return {}
    caps = {}
    for arm in plan.arms:
        cap = _cap(model, _place(plan.base, {**arm.settings, **arm.fixed}, searched))
        if cap is not None and ROOM * axis.low <= cap < axis.high:
            caps[arm.name] = cap
    return caps


def _place(base: TrialConfig, own: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """The arm's settings that are decided: those of the base that no axis searches, and its own."""
    flat = flatten(base.model_dump(mode="json"))
    return {path: value for path, value in flat.items() if path not in searched} | dict(own)


def _cap(model: BorderModel, place: Mapping[str, Any]) -> float | None:
    column = model.plane.column_of(place)
    if column is None or not all(
        min(axis.values) <= value <= max(axis.values)
        for axis, value in zip(model.plane.across, column, strict=True)
    ):
        return None
    # The distance of the value 1 is the border itself, in decades.
    border = model.distance({**place, LR: 1.0})
    return None if border is None else float(10 ** border[1])


def same_base(plan: Plan, other: Plan) -> bool:
    """Whether the border that one study mapped is that of the other's trials, too.

    The one rule for it, of the search and of the report: their bases agree in every setting that can move a
    border and that neither study searches.
    """
    mine, theirs = (flatten(p.base.model_dump(mode="json")) for p in (plan, other))
    skipped = UNRELATED | {axis.path for p in (plan, other) for axis in p.axes}
    return all(theirs.get(path) == value for path, value in mine.items() if path not in skipped)
