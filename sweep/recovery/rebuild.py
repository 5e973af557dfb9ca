"""A run for a finished trial that has none: all that the trial store has of it; the series are lost."""

import json

from optuna.trial import FrozenTrial

from sweep.recovery.findings import View
from sweep.store.provenance import to_json
from sweep.store.study_view import StudyView
from sweep.store.trials import TrialView
from sweep.study.config import flatten
from sweep.study.resolve import resolve_config
from sweep.tracking.run import Run, new_key
from sweep.tracking.sender import Sender
from sweep.tracking.trackers import PARENT


def rebuild_run(view: View, stored: FrozenTrial) -> None:
    """Make it, under the trial's own key, with its parameters, metrics and outcome."""
    trial, study = TrialView(stored), StudyView.of(view.study)
    config = resolve_config(study.plan, dict(trial.params), trial.seed or 0, trial.settings)
    tree = config.model_dump(mode="json")
    tags = {
        "study": view.name,
        "trial": trial.number,
        "phase": trial.phase,
        PARENT: view.parent,
        "outcome": trial.outcome,
        "reason": trial.reason,
        "rebuilt": "from the trial: the series of the run are lost",
        # A run of a block has a split of its own, whose hash went with the run.
        **({"data_hash": study.data_hash} if trial.block is None else {}),
    }
    sender = Sender(view.tracker, view.link)
    key = trial.run_key or new_key(view.name, trial.number)
    run = Run(view.home.spool, key, sender).open(
        view.experiment,
        f"trial {trial.number:03d}",
        tags,
        attempt=trial.number,
        trial=(view.name, trial.number),
    )
    run.params(flatten(tree))
    run.files({"config.json": to_json(tree), "trial.json": json.dumps(trial.attrs, default=str).encode()})
    if trial.finished:
        if trial.objective is not None:
            run.metric("objective", trial.objective)
        run.metric("diverged", float(trial.diverged))
    for name, fact in trial.attrs.items():
        if isinstance(fact, int | float) and "/" in name:
            run.metric(name, float(fact))
    run.end("FINISHED", wait_s=30.0)
    sender.close()
