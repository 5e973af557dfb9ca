"""The border map of a study, made from its trials in the store."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.border.conflict import Conflict, conflicts
from sweep.border.model import BorderModel, Line
from sweep.border.phases import column_fan_ins, column_halvings, models
from sweep.border.runs import border_runs, runs_in
from sweep.errors import UserError
from sweep.search.request import of_phase
from sweep.store.study_view import StudyView
from sweep.store.trials import TrialView, views
from sweep.study import Plan
from sweep.study.border_plan import BorderPlan
from sweep.study.config import TrialConfig
from vae.stability.labels import Label, probe_horizon

FAN_IN = "log10 head fan-in"
HALVINGS = "model.max_downsamples"


@dataclass(frozen=True)
class Trained:
    """A whole run at a distance below the border; objective None where it diverged."""

    trial: int
    column: str
    seed: int
    x: float
    distance: float
    objective: float | None
    outcome: str


@dataclass(frozen=True)
class BorderMap:
    """The map of one study.

    models: from probes and whole runs. conflicts: where the whole runs speak against the probes.
    spent: runs and optimizer steps by phase. fan_ins: fan-in of the latent head, by column (None: not
        known).
    """

    study: str
    plan: BorderPlan
    base: TrialConfig
    models: dict[Label, BorderModel]
    conflicts: list[Conflict]
    trained: list[Trained]
    fan_ins: list[int | None]
    spent: dict[str, dict[str, int]]

    @classmethod
    def of(cls, name: str, plan: Plan, trials: Sequence[FrozenTrial]) -> "BorderMap":
        """Raises UserError where the study maps no border."""
        border = plan.border
        if border is None:
            raise UserError(f"{name} maps no border: `python -m sweep run border_study` does")
        return cls(
            study=name,
            plan=border,
            base=plan.base,
            models=models(border, plan.base, trials),
            conflicts=_conflicts(border, plan.base, trials),
            trained=_trained(border, trials),
            fan_ins=column_fan_ins(border, plan.base),
            spent=_spent(border, trials),
        )

    def fan_in_line(self, label: Label) -> Line | None:
        """The border on the logarithm of the head's fan-in and the axes of the plane, all together.

        An axis that the columns do not tell apart from those before it is left out: with depth and halvings
        the width decides the fan-in. None where the fan-in is the same in all columns, or too few have a
        border.
        """
        known = [fan_in for fan_in in self.fan_ins if fan_in is not None]
        if len(set(self.fan_ins)) == 1 or len(known) < len(self.fan_ins):
            return None
        features = {FAN_IN: [math.log10(fan_in) for fan_in in known]}
        found = [row.column for row in self.models[label].columns if row.status == "found"]
        for axis, values in zip(self.plan.plane.across, self._across(), strict=True):
            tried = features | {axis.name: values}
            design = np.array([np.ones(len(self.fan_ins)), *tried.values()])[:, found]
            if np.linalg.matrix_rank(design) == len(design):
                features = tried
        return self.models[label].line(features) if len(features) > 1 else None

    def lines_in_words(self, label: Label) -> list[str]:
        """How the border goes with what it was mapped against: slopes with intervals, by name."""
        words = []
        line = self.models[label].line()
        if line is not None and len(self.plan.plane.across) == 1:
            straight = (
                "" if line.is_line else f", which it is not: a column lies {line.worst:.2f} decades off"
            )
            words.append(f"{label} border as a straight line: {_slopes(line)}{straight}")
        both = self.fan_in_line(label)
        if both is not None:
            words.append(f"{label} border on {', '.join(both.slopes)} together: {_slopes(both)}")
        return words

    def _across(self) -> list[list[float]]:
        """Positions of the columns on each axis; of `max_downsamples` the halvings that there really are."""
        halvings = column_halvings(self.plan, self.base)
        return [
            [
                float(halved) if HALVINGS in axis.paths else axis.position(column[place])
                for column, halved in zip(self.plan.plane.columns, halvings, strict=True)
            ]
            for place, axis in enumerate(self.plan.plane.across)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the runs: `BorderModel.from_dict` reads a label's part back."""
        lines = {label: self.fan_in_line(label) for label in self.models}
        return {
            "study": self.study,
            "base": self.base.model_dump(mode="json"),
            "strategy": self.plan.strategy,
            "spent": self.spent,
            "head_fan_in": self.fan_ins,
            "labels": {label: model.as_dict() for label, model in self.models.items()},
            "fan_in_lines": {k: None if line is None else asdict(line) for k, line in lines.items()},
            "lines": [line for label in self.models for line in self.lines_in_words(label)],
            "conflicts": [asdict(conflict) | {"text": str(conflict)} for conflict in self.conflicts],
            "trained": [asdict(run) for run in self.trained],
        }


def _slopes(line: Line) -> str:
    parts = []
    for name, (slope, low, high) in line.slopes.items():
        interval = "no interval: too few columns" if low is None else f"95 % {low:.2f} .. {high:.2f}"
        parts.append(f"{slope:+.3f} decades per unit of {name} ({interval})")
    return ", ".join(parts)


def stored_map(study: optuna.Study) -> BorderMap:
    """Raises UserError where the stored study maps no border."""
    return BorderMap.of(study.study_name, StudyView.of(study).plan, study.get_trials(deepcopy=False))


def _conflicts(plan: BorderPlan, base: TrialConfig, trials: Sequence[FrozenTrial]) -> list[Conflict]:
    whole = [run for run in runs_in(plan, trials) if run.label is None]
    if not any(run.observation is not None for run in whole):
        return []
    probes = models(plan, base, trials, probes_alone=True)
    return [
        conflict
        for label, model in probes.items()
        for conflict in conflicts(model, border_runs(label, whole, probe_horizon(label)))
    ]


def _trained(plan: BorderPlan, trials: Sequence[FrozenTrial]) -> list[Trained]:
    runs = []
    for trial in of_phase(trials, "distance"):
        if trial.state is not TrialState.COMPLETE:
            continue
        (placed,) = runs_in(plan, [trial])
        view = TrialView(trial)
        assert view.border_distance is not None
        runs.append(
            Trained(
                trial=trial.number,
                column=plan.plane.name(plan.plane.columns[placed.column]),
                seed=placed.seed,
                x=placed.x,
                distance=view.border_distance,
                objective=view.objective,
                outcome=view.outcome,
            )
        )
    return sorted(runs, key=lambda run: (run.column, run.seed, run.distance))


def _spent(plan: BorderPlan, trials: Sequence[FrozenTrial]) -> dict[str, dict[str, int]]:
    by_number = {trial.number: trial.phase for trial in views(trials)}
    runs: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for run in runs_in(plan, trials):
        if run.observation is not None:
            runs[by_number[run.trial]] += 1
            steps[by_number[run.trial]] += run.observation.steps
    return {phase: {"runs": runs[phase], "steps": steps[phase]} for phase in runs}
