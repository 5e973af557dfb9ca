"""The numbers at the head of a report: counts, hours, the best setting with its interval."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep.report.gather import Material
from sweep.store.groups import geometric_mean
from sweep.store.trials import BLOCK, TrialView, confirmed
from sweep.study.find import named


@dataclass(frozen=True)
class BestSetting:
    """trial: the explored trial with this setting. mean, low, high: geometric mean of the confirming runs
    with its 95 % t interval; None where it was not confirmed. arms: from how many it was chosen."""

    trial: int
    run_id: str
    arm: str
    objective: float
    settings: dict[str, Any]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    arms: int = 0


@dataclass(frozen=True)
class Overview:
    """whole: trials trained to their end, or until they diverged; others were probes, or pruned."""

    trials: dict[str, int]
    phases: dict[str, int]
    outcomes: dict[str, int]
    whole: int
    seeds: int
    wall_hours: float
    trial_hours: float
    best: BestSetting | None
    commands: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def overview(material: Material) -> Overview:
    finished = [record for record in material.trials if record.ended]
    best = best_setting(material.trials)
    return Overview(
        trials=material.summary.trials,
        phases=dict(Counter(record.phase for record in finished)),
        outcomes=dict(Counter(record.outcome for record in finished)),
        whole=sum(record.finished for record in finished),
        seeds=len({record.seed for record in finished}),
        wall_hours=material.summary.seconds / 3600,
        trial_hours=sum(record.seconds or 0.0 for record in finished) / 3600,
        best=best,
        commands=_commands(material, best),
    )


def best_setting(trials: Sequence[TrialView]) -> BestSetting | None:
    """The setting of the arm with the lowest confirmed mean; without those, the best explored trial."""
    by_number = {record.number: record for record in trials}
    arms = []
    for arm, runs in confirmed(trials).items():
        spread = geometric_mean(runs)
        if spread is not None and all(run.objective is not None for run in runs):
            arms.append((spread, arm, runs))
    if arms:
        (mean, low, high), arm, runs = min(arms)
        source = by_number.get(runs[0].number if runs[0].confirms is None else runs[0].confirms, runs[0])
        return BestSetting(
            source.number,
            source.run_id,
            arm,
            source.objective or mean,
            {**runs[0].params, **runs[0].settings},
            mean=mean,
            low=low,
            high=high,
            seeds=len(runs),
            arms=len(arms),
        )
    every = [record for record in trials if record.objective is not None]
    # Runs of blocks are validated on tiles of their own.
    finite = [record for record in every if record.phase != BLOCK] or every
    if not finite:
        return None
    best = min(finite, key=lambda record: record.objective or 0.0)
    assert best.objective is not None
    return BestSetting(best.number, best.run_id, best.arm, best.objective, {**best.params, **best.settings})


def _commands(material: Material, best: BestSetting | None) -> dict[str, str]:
    name = shlex.quote(material.summary.study)
    commands = {}
    # A study that was made in Python has no module to name.
    if material.module or material.study in named():
        run = f"python -m sweep run {shlex.quote(material.module or material.study)}"
        run += f" --scale {material.summary.scale}" if material.summary.scale else ""
        run += f" --name {name}" if material.study != material.summary.study else ""
        commands["run the study on"] = run
    if best is not None:
        commands["run the best trial again"] = f"python -m sweep replay {name} {best.trial}"
    return commands
