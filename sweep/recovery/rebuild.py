"""A run for a finished trial that has none: all that the trial store has of it; the series are lost."""

import json
import math

from optuna.trial import FrozenTrial, TrialState

from sweep.recovery.findings import View
from sweep.search.request import phase_of, settings_of
from sweep.store.keys import RUN_ID, RUN_KEY
from sweep.store.provenance import to_json
from sweep.store.summary import outcome_of
from sweep.study import Plan
from sweep.study.config import flatten
from sweep.study.resolve import resolve_config
from sweep.tracking.run import Run, new_key
from sweep.tracking.sender import Sender
from sweep.tracking.trackers import PARENT


def rebuild_run(view: View, trial: FrozenTrial) -> None:
    """Make it, under the trial's own key, with its parameters, metrics and outcome."""
    attrs = trial.user_attrs
    plan = Plan.model_validate_json(view.attrs["plan"])
    config = resolve_config(plan, trial.params, int(attrs.get("seed", 0)), settings_of(trial))
    tree = config.model_dump(mode="json")
    tags = {
        "study": view.name,
        "trial": trial.number,
        "phase": phase_of(trial),
        PARENT: view.parent,
        "outcome": outcome_of(trial),
        "reason": attrs.get("reason", ""),
        "rebuilt": "from the trial: the series of the run are lost",
        "data_hash": view.attrs.get("data_hash", ""),
    }
    sender = Sender(view.tracker, view.link)
    key = attrs.get(RUN_KEY) or new_key(view.name, trial.number)
    run = Run(view.home.spool, key, sender).open(
        view.experiment,
        f"trial {trial.number:03d}",
        tags,
        attempt=trial.number,
        trial=(view.name, trial.number),
    )
    run.params(flatten(tree))
    run.files({"config.json": to_json(tree), "trial.json": json.dumps(attrs, default=str).encode()})
    value = trial.values[0] if trial.values else math.nan
    if trial.state is TrialState.COMPLETE:
        run.metric("objective", value)
        run.metric("diverged", float(not math.isfinite(value)))
    for name, fact in attrs.items():
        if isinstance(fact, int | float) and "/" in name and name != RUN_ID:
            run.metric(name, float(fact))
    run.end("FINISHED", wait_s=30.0)
    sender.close()
