"""Notes on trials for the Optuna dashboard, written by the supervisor from what the trial store has."""

import math
import queue
import threading

import optuna
from optuna.trial import FrozenTrial

from sweep.search.request import phase_of
from sweep.store.links import run_id_of
from sweep.store.optuna_internals import live_trial, storage_of
from sweep.store.summary import best_of, outcome_of

BEST = "noted_best"
"""Study attribute: number of the trial whose note calls it the best."""


def text(trial: FrozenTrial, is_best: bool = False) -> str:
    """In Markdown: how the trial ended and why, what it was run for, its settings, its run."""
    attrs = trial.user_attrs
    value = trial.values[0] if trial.values else math.nan
    step = attrs.get("outcome_step")
    lines = [
        *(["**The best trial of the study.**", ""] if is_best else []),
        f"**{outcome_of(trial)}**{'' if step is None else f' at step {step}'}: "
        f"{attrs.get('reason', 'no reason recorded')}",
        "",
        f"- {_purpose(trial)}",
        f"- objective {f'{value:.2f}' if math.isfinite(value) else 'none'}",
        *(f"- {path} {f'{v:.3g}' if isinstance(v, float) else v}" for path, v in trial.params.items()),
        f"- {attrs.get('steps', 0)} steps, {attrs.get('train_seconds', 0.0):.1f} s",
        f"- run `{run_id_of(trial) or 'none'}`",
    ]
    if "retry_of" in attrs:
        lines.append(f"- repeats trial {attrs['retry_of']}")
    return "\n".join(lines)


def _purpose(trial: FrozenTrial) -> str:
    attrs = trial.user_attrs
    words = f"phase {phase_of(trial)}, seed {attrs.get('seed', 'unknown')}"
    if "arm" in attrs:
        words += f", arm {attrs['arm']}"
    return words + (f", repeats the setting of trial {attrs['confirms']}" if "confirms" in attrs else "")


def mark_best(study: optuna.Study) -> None:
    """Make the note of the best trial say so, and that of the former best no longer."""
    from optuna_dashboard import save_note

    trials = study.get_trials(deepcopy=False)
    best = best_of(trials)
    number = None if best is None else best.trial
    before = study.user_attrs.get(BEST)
    quiet = optuna.load_study(
        study_name=study.study_name, storage=storage_of(study), sampler=optuna.samplers.RandomSampler()
    )
    for marked in {n for n in (before, number) if n is not None}:
        trial = trials[marked]
        save_note(live_trial(quiet, trial), text(trial, is_best=marked == number))
    study.set_user_attr(BEST, number)


class NoteWriter:
    """Writes notes in a thread of its own, because importing the dashboard takes two seconds."""

    def __init__(self, study: optuna.Study) -> None:
        # Making a Trial calls its study's sampler; this one does nothing.
        self._study = optuna.load_study(
            study_name=study.study_name, storage=storage_of(study), sampler=optuna.samplers.RandomSampler()
        )
        self._numbers: queue.Queue[int | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def write(self, number: int) -> None:
        self._numbers.put(number)

    def close(self) -> None:
        """Wait until all notes are written."""
        self._numbers.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (number := self._numbers.get()) is not None:
            from optuna_dashboard import save_note

            trial = self._study.get_trials(deepcopy=False)[number]
            save_note(live_trial(self._study, trial), text(trial))
