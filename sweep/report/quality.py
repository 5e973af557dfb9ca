"""Image quality side by side: of each arm's best trial every metric that was measured, with its interval.

Driven by the names that trials have: each `quality/<metric>` is a row, with its 95 % interval and with
`quality/<metric>_floor`, what real tiles score against other real tiles. A new metric shows by itself. What
is computed for the report (`sweep.report.likelihood`) is added by `with_scores`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sweep.store.groups import grouping_of
from sweep.store.keys import QUALITY
from sweep.store.trials import BLOCK, TrialView
from sweep.study import Plan

MOST_COLUMNS = 8
FLOOR = "_floor"
PUBLISHED = ("kid", "coverage", "density")
FIRST = tuple(f"{name}_{features}" for features in ("imagenet", "custom") for name in PUBLISHED)
LAST = ("psnr", "ssim", "nll", "bits_per_dim")
BETTER = {
    "psnr": "higher",
    "ssim": "higher",
    "memorisation": "lower",
    "nll": "lower",
    "bits_per_dim": "lower",
}
"""Of what is not a metric of two sets of tiles, which says it itself."""
RENAMED = {"kid": "mmd_random", "density": "density_random", "coverage": "coverage_random"}
"""Names in older stores: the same formulas on the same random features, so the figures compare."""


@dataclass(frozen=True)
class Score:
    """value with the ends of its 95 % interval and the floor; None where it was not measured."""

    value: float | None
    low: float | None
    high: float | None
    floor: float | None = None


@dataclass(frozen=True)
class QualityColumn:
    """The best trial of a group, and its scores by metric."""

    group: str
    trial: int
    run_id: str
    objective: float
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class QualityTable:
    """by: what the groups are; empty where there are none. left_out: groups that are not shown, which are
    those with the worst objectives. better: metric -> "lower", "higher" or "zero", where it is known. notes:
    sentences on what is missing."""

    by: str
    metrics: Sequence[str]
    columns: Sequence[QualityColumn]
    left_out: int = 0
    better: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def floor(self, metric: str) -> float | None:
        """The floor of the best trial that has one: all are measured on the same real tiles."""
        scores = (column.scores.get(metric) for column in self.columns)
        return next((s.floor for s in scores if s is not None and s.floor is not None), None)

    def with_scores(
        self, added: Mapping[int, Mapping[str, Score]], notes: Sequence[str] = ()
    ) -> "QualityTable":
        """A copy with further scores, by trial and metric."""
        columns = [
            replace(column, scores={**column.scores, **added.get(column.trial, {})})
            for column in self.columns
        ]
        metrics = _in_order({metric for column in columns for metric in column.scores})
        return replace(self, columns=columns, metrics=metrics, better=_better(metrics), notes=notes)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def quality_table(trials: Sequence[TrialView], plan: Plan | None) -> QualityTable:
    """Empty where no trial was measured. Without groups it has one column, the best trial."""
    every = [t for t in trials if t.objective is not None and _metrics(t)]
    # Runs of blocks have other test tiles each, and so other floors.
    measured = [t for t in every if t.phase != BLOCK] or every
    grouping = grouping_of(plan)
    best: dict[str, TrialView] = {}
    for trial in sorted(measured, key=lambda t: (t.objective or 0.0, t.number)):
        best.setdefault((grouping.group_of(trial) if grouping else "") or "all", trial)
    shown = list(best.items())[:MOST_COLUMNS]
    columns = [
        QualityColumn(
            name,
            t.number,
            t.run_id,
            t.objective or 0.0,
            {m: _score(t, stored) for m, stored in _metrics(t).items()},
        )
        for name, t in shown
    ]
    table = QualityTable(grouping.title if grouping else "", [], columns, left_out=len(best) - len(shown))
    return table.with_scores({})


def _in_order(metrics: Collection[str]) -> list[str]:
    """Those that a reader asks for first, and those that are not of samples last."""
    first, last = ([m for m in group if m in metrics] for group in (FIRST, LAST))
    return [*first, *sorted(set(metrics) - {*first, *last}), *last]


def _better(metrics: Collection[str]) -> dict[str, str]:
    from vae.quality import METRICS

    known = {name: metric.better for name, metric in METRICS.items()} | BETTER
    known |= {f"{name}_custom": known[f"{name}_imagenet"] for name in PUBLISHED}
    return {metric: known[metric] for metric in metrics if metric in known}


def _metrics(trial: TrialView) -> dict[str, str]:
    """Metric -> its name in the store, both without the prefix; a floor belongs to the metric beside it."""
    found = {key.removeprefix(QUALITY) for key in trial.attrs if key.startswith(QUALITY)}
    stored = sorted(name for name in found if name.removesuffix(FLOOR) not in found - {name})
    return {RENAMED.get(name, name): name for name in stored}


def _score(trial: TrialView, stored: str) -> Score:
    low, high = trial.quality_intervals.get(stored, (None, None))
    key = QUALITY + stored
    return Score(trial.number_of(key), low, high, trial.number_of(key + FLOOR))
