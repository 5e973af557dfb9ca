"""What a border study found: as a table, as JSON, as pictures, all from what is in the store."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.border.model import BorderModel, Line
from sweep.border.phases import column_fan_ins, models
from sweep.border.runs import PREFIX, seen_in
from sweep.errors import UserError
from sweep.search.request import of_phase, phase_of
from sweep.store.home import Home
from sweep.study import Plan
from sweep.study.border_plan import BorderPlan
from sweep.study.config import TrialConfig
from vae.stability.labels import Label

FAN_IN = "log10 head fan-in"


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
    """Of one study. spent: probes and steps a phase. fan_ins: of the columns' latent heads."""

    study: str
    plan: BorderPlan
    base: TrialConfig
    models: dict[Label, BorderModel]
    trained: list[Trained]
    fan_ins: list[int]
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
            trained=_trained(border, trials),
            fan_ins=column_fan_ins(border, plan.base),
            spent=_spent(border, trials),
        )

    def fan_in_line(self, label: Label) -> Line | None:
        """The border on the logarithm of the head's fan-in and the first axis of the plane, together.

        None where the fan-in is the same in all columns, or the two cannot be told apart.
        """
        if len(set(self.fan_ins)) == 1:
            return None
        first = self.plan.plane.across[0]
        return self.models[label].line(
            {
                FAN_IN: [math.log10(fan_in) for fan_in in self.fan_ins],
                first.name: [first.position(column[0]) for column in self.plan.plane.columns],
            }
        )

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
            "trained": [asdict(run) for run in self.trained],
        }


def stored_map(study: optuna.Study) -> BorderMap:
    """Raises UserError where the stored study maps no border."""
    plan = Plan.model_validate_json(study.user_attrs["plan"])
    return BorderMap.of(study.study_name, plan, study.get_trials(deepcopy=False))


def write_map(home: Home, found: BorderMap) -> list[Path]:
    """map.json, map.html and map.png in the study's folder of reports; returns their paths."""
    from sweep.border.figure import as_html, as_png

    folder = home.root / "reports" / found.study
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "map.json", folder / "map.html", folder / "map.png"]
    paths[0].write_text(json.dumps(found.as_dict(), indent=1, allow_nan=False), encoding="utf-8")
    paths[1].write_text(as_html(found), encoding="utf-8")
    as_png(found, paths[2])
    return paths


def show_map(found: BorderMap) -> None:
    """The tables, and a sentence for all that has no number."""
    from rich.console import Console

    console = Console()
    for label, model in found.models.items():
        console.print(_table(found, label, model))
        for line in lines_in_words(found, label):
            print(line)
        for sentence in model.sentences():
            print(sentence)
    if found.trained:
        console.print(_trained_table(found))
    spent = "; ".join(f"{phase}: {s['runs']} runs, {s['steps']} steps" for phase, s in found.spent.items())
    print(f"spent: {spent}")


def _table(found: BorderMap, label: Label, model: BorderModel) -> Any:
    from rich.table import Table

    width = "" if model.sigma is None else f", {model.sigma:.2f} decades wide"
    table = Table(title=f"{label} border of {found.plan.plane.searched}: log10, 90 % band{width}")
    for name in ("column", "head fan-in", "border", "band", "runs", "steps"):
        table.add_column(name, justify="left" if name == "column" else "right")
    for row, fan_in in zip(model.columns, found.fan_ins, strict=True):
        border = row.status if row.border is None else f"{row.border:.2f}"
        band = "" if row.low is None or row.high is None else f"{row.low:.2f} .. {row.high:.2f}"
        table.add_row(row.name, str(fan_in), border, band, str(row.runs), str(row.steps))
    return table


def lines_in_words(found: BorderMap, label: Label) -> list[str]:
    """How the border goes with what it was mapped against: slopes with intervals, by name."""
    words = []
    line = found.models[label].line()
    if line is not None and len(found.plan.plane.across) == 1:
        straight = "" if line.is_line else f", which it is not: a column lies {line.worst:.2f} decades off"
        words.append(f"{label} border as a straight line: {_slopes(line)}{straight}")
    both = found.fan_in_line(label)
    if both is not None:
        words.append(f"{label} border on head fan-in and {found.plan.plane.across[0].name}: {_slopes(both)}")
    return words


def _slopes(line: Line) -> str:
    parts = []
    for name, (slope, low, high) in line.slopes.items():
        interval = "no interval: too few columns" if low is None else f"95 % {low:.2f} .. {high:.2f}"
        parts.append(f"{slope:+.3f} decades per unit of {name} ({interval})")
    return ", ".join(parts)


def _trained_table(found: BorderMap) -> Any:
    from rich.table import Table

    table = Table(title=f"whole runs at a distance below the {found.plan.distance_label} border (decades)")
    names = ("column", "seed", "distance", found.plan.plane.searched, "objective", "over the best", "outcome")
    for name in names:
        table.add_column(name, justify="left" if name == "column" else "right")
    best: dict[str, float] = {}
    for run in found.trained:
        best[run.column] = min(best.get(run.column, math.inf), run.objective or math.inf)
    for run in found.trained:
        value, ratio = "inf", ""
        if run.objective is not None:
            value, ratio = f"{run.objective:.1f}", f"{run.objective / best[run.column]:.2f}"
        row = (run.column, run.seed, f"{run.distance:g}", f"{10**run.x:.2g}", value, ratio, run.outcome)
        table.add_row(*map(str, row))
    return table


def _trained(plan: BorderPlan, trials: Sequence[FrozenTrial]) -> list[Trained]:
    runs = []
    for trial in of_phase(trials, "distance"):
        if trial.state is not TrialState.COMPLETE:
            continue
        (seen,) = seen_in(plan, [trial])
        value = trial.values[0]
        runs.append(
            Trained(
                trial=trial.number,
                column=plan.plane.name(plan.plane.columns[seen.column]),
                seed=seen.seed,
                x=seen.x,
                distance=trial.user_attrs[f"{PREFIX}distance"],
                objective=value if math.isfinite(value) else None,
                outcome=trial.user_attrs.get("outcome", ""),
            )
        )
    return sorted(runs, key=lambda run: (run.column, run.seed, run.distance))


def _spent(plan: BorderPlan, trials: Sequence[FrozenTrial]) -> dict[str, dict[str, int]]:
    by_number = {trial.number: phase_of(trial) for trial in trials}
    runs: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for run in seen_in(plan, trials):
        if run.observation is not None:
            runs[by_number[run.trial]] += 1
            steps[by_number[run.trial]] += run.observation.steps
    return {phase: {"runs": runs[phase], "steps": steps[phase]} for phase in runs}
