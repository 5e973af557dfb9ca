"""Notes on trials for the Optuna dashboard, written by the supervisor from what the trial store has."""

import queue
import threading

import optuna
from optuna.trial import FrozenTrial

from sweep.store import keys
from sweep.store.optuna_internals import live_trial, reread, storage_of
from sweep.store.study_view import StudyView
from sweep.store.summary import best_of
from sweep.store.trials import TrialView


def text(stored: FrozenTrial, is_best: bool = False) -> str:
    """In Markdown: how the trial ended and why, what it was run for, its settings, its run."""
    trial = TrialView(stored)
    at = "" if trial.outcome_step is None else f" at step {trial.outcome_step}"
    lines = [
        *(["**The best trial of the study.**", ""] if is_best else []),
        f"**{trial.outcome}**{at}: {trial.reason or 'no reason recorded'}",
        "",
        f"- {_purpose(trial)}",
        f"- objective {'none' if trial.objective is None else f'{trial.objective:.2f}'}",
        *(f"- {path} {f'{v:.3g}' if isinstance(v, float) else v}" for path, v in trial.params.items()),
        f"- {trial.steps} steps, {trial.train_seconds:.1f} s",
        f"- run `{trial.run_id or 'none'}`",
    ]
    if trial.retry_of is not None:
        lines.append(f"- repeats trial {trial.retry_of}")
    return "\n".join(lines)


def _purpose(trial: TrialView) -> str:
    words = f"phase {trial.phase}, seed {'unknown' if trial.seed is None else trial.seed}"
    if trial.names_arm:
        words += f", arm {trial.arm}"
    return words + ("" if trial.confirms is None else f", repeats the setting of trial {trial.confirms}")


def mark_best(study: optuna.Study) -> None:
    """Make the note of the best trial say so, and that of the former best no longer."""
    from optuna_dashboard import save_note

    trials = study.get_trials(deepcopy=False)
    best = best_of(trials)
    number = None if best is None else best.trial
    before = StudyView.of(study).noted_best
    quiet = optuna.load_study(
        study_name=study.study_name, storage=storage_of(study), sampler=optuna.samplers.RandomSampler()
    )
    for marked in {n for n in (before, number) if n is not None}:
        trial = _with_run(study, trials[marked])
        save_note(live_trial(quiet, trial), text(trial, is_best=marked == number))
    study.set_user_attr(keys.NOTED_BEST, number)


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
        without_run: list[int] = []
        while (number := self._numbers.get()) is not None:
            if not self._write(number):
                without_run.append(number)
        for number in without_run:  # which has come meanwhile
            self._write(number)

    def _write(self, number: int) -> bool:
        """Whether it names the trial's run."""
        from optuna_dashboard import save_note

        trial = _with_run(self._study, self._study.get_trials(deepcopy=False)[number])
        save_note(live_trial(self._study, trial), text(trial))
        return bool(TrialView(trial).run_id)


def _with_run(study: optuna.Study, trial: FrozenTrial) -> FrozenTrial:
    """The trial with the id of its run, which may have been stored after its end."""
    return trial if TrialView(trial).run_id else reread(study, trial)
