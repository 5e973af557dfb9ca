"""The phases of a border study: map, verify, then train at distances below the border.

A probe is a trial that was ended on purpose before its full length, so Optuna has it as PRUNED,
without a value: what it found is in its user attributes (`sweep.border.runs`) and in its MLflow run. The
study's value stays what it is everywhere, the objective of a full training run, so the runs at a distance
compare with one another and with other studies, and the best trial is the best model.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from optuna.trial import FrozenTrial

from sweep.border.model import BorderModel, BorderRun
from sweep.border.runs import PlacedRun, border_runs, probes_in, runs_in
from sweep.border.strategies import ProbeChooser, Proposal
from sweep.search.request import Phase, Request, of_phase
from sweep.store import keys
from sweep.store.trials import DISTANCE, TrialView
from sweep.study.border_plan import BorderPlan
from sweep.study.config import TrialConfig, with_settings
from vae.config import ModelConfig, NetworkConfig
from vae.model.layout import head_fan_in
from vae.stability.labels import Label, late_horizon, probe_horizon


def chooser(plan: BorderPlan, base: TrialConfig) -> ProbeChooser:
    """With how far runs of each column must be followed, which depends on the fan-in of its latent head."""
    fan_ins = column_fan_ins(plan, base)
    return ProbeChooser(plan, {label: [late_horizon(label, f) for f in fan_ins] for label in plan.labels})


def column_fan_ins(plan: BorderPlan, base: TrialConfig) -> list[int | None]:
    """None for a network that is not ours."""
    return [head_fan_in(model) for model in _networks(plan, base)]


def column_halvings(plan: BorderPlan, base: TrialConfig) -> list[int]:
    """Strided layers a side, by column: no more than there are layers. 0 for a network that is not ours."""
    return [m.num_downsamples if isinstance(m, ModelConfig) else 0 for m in _networks(plan, base)]


@lru_cache(maxsize=8)
def _networks(plan: BorderPlan, base: TrialConfig) -> list[NetworkConfig]:
    return [with_settings(base, plan.plane.settings(column)).model for column in plan.plane.columns]


def models(
    plan: BorderPlan, base: TrialConfig, trials: Sequence[FrozenTrial], probes_alone: bool = False
) -> dict[Label, BorderModel]:
    """The border of every label of the plan, from the trials so far.

    probes_alone: without the whole runs at a distance. Where those are placed, and what the mapper asks for,
    is decided so, or each of them would move the next.
    """
    runs = probes_in(plan, trials) if probes_alone else runs_in(plan, trials)
    return {
        label: BorderModel(label, plan.plane, plan.seeds, border_runs(label, runs, probe_horizon(label)))
        for label in plan.labels
    }


class Map(Phase):
    """Probes until the borders are known as well as the plan asks."""

    name = "map"

    def __init__(self, plan: BorderPlan, base: TrialConfig) -> None:
        self.plan, self.base = plan, base
        self.chooser = chooser(plan, base)

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        return next(iter(self.several(trials, 1)), None)

    def several(self, trials: Sequence[FrozenTrial], count: int) -> list[Request]:
        proposals = self._proposals(probes_in(self.plan, trials), count)
        return [_request(self.name, self.plan, proposal) for proposal in proposals]

    def _proposals(self, runs: Sequence[PlacedRun], count: int) -> list[Proposal]:
        return self.chooser.next_probes(runs, count)

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        """A guess: five probes a column, seed and label, the mapper's usual number, less those made."""
        expected = 5 * len(self.plan.plane.columns) * len(self.plan.seeds) * len(self.plan.labels)
        return int(self.next(trials) is not None) * max(1, expected - len(of_phase(trials, self.name)))


class Verify(Map):
    """Full-length probes where short ones said stable; one that crosses sends the study back to the map.

    They are long, so a column is checked as soon as none of its own probes runs.
    """

    name = "verify"
    waits = False
    urgent = True

    def _proposals(self, runs: Sequence[PlacedRun], count: int) -> list[Proposal]:
        return self.chooser.next_verifications(runs, count)

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        return int(self.next(trials) is not None)


class Distance(Phase):
    """Whole training runs at the plan's distances below the border of its `distance_label`.

    A column's begin when its own border is mapped and checked, while others still are.
    """

    name = DISTANCE
    waits = False

    def __init__(self, plan: BorderPlan, base: TrialConfig) -> None:
        self.plan, self.base = plan, base
        self.chooser = chooser(plan, base)

    def next(self, trials: Sequence[FrozenTrial]) -> Request | None:
        return next(iter(self.several(trials, 1)), None)

    def several(self, trials: Sequence[FrozenTrial], count: int) -> list[Request]:
        missing = self._missing(trials)
        if not missing:
            return []
        label, probes = self.plan.distance_label, probes_in(self.plan, trials)
        borders = _borders(self.plan, label, tuple(border_runs(label, probes, probe_horizon(label))))
        ready = self.chooser.settled(label, probes)
        placed = [
            (seed, column, distance, at)
            for seed, column, distance in missing
            if (at := borders[column]) is not None and column in ready
        ]
        return [
            _train_at(self.plan, column, seed, max(at - distance, self.plan.low), distance)
            for seed, column, distance, at in placed[:count]
        ]

    def remaining(self, trials: Sequence[FrozenTrial]) -> int:
        return len(self._missing(trials))

    def _missing(self, trials: Sequence[FrozenTrial]) -> list[tuple[int, int, float]]:
        """Seed, column and distance of the runs that are still to be made; these identify a run."""
        plan = self.plan
        made = {
            (run.seed, run.column, distance)
            for trial in of_phase(trials, self.name)
            for run in runs_in(plan, [trial])
            if (distance := TrialView(trial).border_distance) is not None
        }
        return [
            (seed, column, distance)
            for seed in plan.distance_seeds
            for column in range(len(plan.plane.columns))
            for distance in plan.distances
            if (seed, column, distance) not in made and plan.trains_at(column)
        ]


@lru_cache(maxsize=8)
def _borders(plan: BorderPlan, label: Label, runs: tuple[BorderRun, ...]) -> list[float | None]:
    """Of each column; inferred once for all runs at a distance, as none of these changes it."""
    return [row.border for row in BorderModel(label, plan.plane, plan.seeds, runs).columns]


def _request(phase: str, plan: BorderPlan, proposal: Proposal) -> Request:
    settings: dict[str, Any] = {"probe.label": proposal.label}
    if proposal.horizon is not None:
        settings["probe.horizon"] = proposal.horizon
    attrs = _place(plan, proposal.column, proposal.x) | {keys.BORDER_LABEL: proposal.label}
    if proposal.horizon is not None:
        attrs[keys.BORDER_HORIZON] = proposal.horizon
    return Request(phase, _params(plan, proposal.column, proposal.x), settings, proposal.seed, attrs)


def _train_at(plan: BorderPlan, column: int, seed: int, x: float, distance: float) -> Request:
    attrs = _place(plan, column, x) | {keys.BORDER_DISTANCE: distance}
    return Request(Distance.name, _params(plan, column, x), {}, seed, attrs)


def _place(plan: BorderPlan, column: int, x: float) -> dict[str, Any]:
    return {keys.BORDER_AT: list(plan.plane.columns[column]), keys.BORDER_X: x}


def _params(plan: BorderPlan, column: int, x: float) -> dict[str, Any]:
    plane = plan.plane
    # The ends of the range as they were written, whatever 10 to their logarithm is.
    value = min(max(10.0**x, plane.low), plane.high)
    return {plane.searched: value, **plane.settings(plane.columns[column])}
