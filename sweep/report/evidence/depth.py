"""Depth-performance paradox: the published claim is that four or five layers do best, and more do worse.

Two contrasts, both needed: the deepest arm against the four- and five-layer arms, and the shallowest.
"""

import contextlib
import math
import statistics
from collections.abc import Collection, Mapping, Sequence

from sweep.errors import UserError
from sweep.report.evidence.claim import Claim, Table, decide, open_claim
from sweep.report.evidence.contrast import Contrast, sample
from sweep.store.groups import values_of
from sweep.store.intervals import mean_interval
from sweep.store.keys import HEAD_FAN_IN
from sweep.store.trials import DEPTHS, TrialView, confirmed
from sweep.study import Plan
from sweep.study.config import with_settings

MIDDLE = (4, 5)
TITLE = "Depth-performance paradox"
STATEMENT = "Four or five layers a side do best: more layers do worse, and so do fewer."
FIXED_TITLE = "The same at a fixed bottleneck"
FIXED_STATEMENT = (
    "Four or five layers a side do best also where the grid and fan-in of the latent head are equal at "
    "every depth."
)
CONTROL = "depth_control_study"


def compared_depths(plan: Plan) -> set[int]:
    """The depths, equal on both sides, that the arms of a study set, or its axes leave to the sampler."""
    if plan.border is not None:
        return set()
    axes = {axis.path: values_of(axis) for axis in plan.axes if axis.path in DEPTHS}
    base = plan.base.model
    found: set[int] = set()
    for arm in plan.arms:
        own = {**arm.settings, **arm.fixed}
        sides = [
            {own[path]} if path in own else set(axes.get(path, [usual]))
            for path, usual in zip(DEPTHS, (base.encoder_depth, base.decoder_depth), strict=True)
        ]
        found |= {depth for depth in sides[0] & sides[1] if isinstance(depth, int)}
    return found


def has_fixed_bottleneck(plan: Plan, depths: Collection[int]) -> bool:
    """Whether the latent head has one fan-in at all these depths; those that do not fit the tiles aside."""
    from vae.model.layout import head_fan_in

    fan_ins = set()
    for depth in depths:
        with contextlib.suppress(UserError):
            fan_ins.add(head_fan_in(with_settings(plan.base, dict.fromkeys(DEPTHS, depth)).model))
    return len(fan_ins) == 1


def depth_claim(trials: Sequence[TrialView], study: str) -> Claim:
    """From the confirming runs of a study whose arms are depths."""
    more = f": `python -m sweep run {study}` with more confirming seeds" if study else ""
    none = "No runs here compare depths."
    return _claim("depth", TITLE, STATEMENT, trials, more, "`python -m sweep run depth_study`", none)


def fixed_depth_claim(control: Sequence[TrialView]) -> Claim:
    """From the control study's runs, of this store; empty where it was not run."""
    run = f"`python -m sweep run {CONTROL}` in the same SWEEP_HOME"
    none = f"This store holds no trials of {CONTROL}."
    return _claim("depth_fixed_bottleneck", FIXED_TITLE, FIXED_STATEMENT, control, "", run, none)


def _claim(
    key: str, title: str, statement: str, trials: Sequence[TrialView], more_runs: str, run: str, none: str
) -> Claim:
    planned = {trial.depth for trial in trials if trial.depth is not None}
    if len(planned) < 2:
        return open_claim(key, title, statement, none, f"{run}.")
    runs = runs_by_depth(trials)
    if not runs:
        return open_claim(key, title, statement, "No depth has confirming runs yet.", f"Let {run} finish.")
    contrasts = _contrasts(planned, runs)
    if not contrasts or not any(depth in planned for depth in MIDDLE):
        return open_claim(key, title, statement, "Depths on both sides of 4 and 5 are not here.", f"{run}.")
    return decide(key, title, statement, contrasts, _notes(runs), (_table(runs),), more_runs)


def runs_by_depth(trials: Sequence[TrialView]) -> dict[int, list[TrialView]]:
    """The runs that the claim rests on: the confirming ones, or, where every arm has a seed of its own,
    the best of each."""
    runs: dict[int, list[TrialView]] = {}
    for arm in confirmed(trials).values():
        if (depth := arm[0].depth) is not None:
            runs[depth] = arm
    if not runs and any("seed" in trial.params for trial in trials):
        best: dict[tuple[int, int], TrialView] = {}
        for trial in trials:
            if trial.finished and trial.depth is not None and trial.seed is not None:
                cell = (trial.depth, trial.seed)
                if cell not in best or _rank(trial) < _rank(best[cell]):
                    best[cell] = trial
        for (depth, _), trial in best.items():
            runs.setdefault(depth, []).append(trial)
    return dict(sorted(runs.items()))


def _rank(trial: TrialView) -> float:
    return math.inf if trial.objective is None else trial.objective


def _contrasts(planned: set[int], runs: Mapping[int, Sequence[TrialView]]) -> list[Contrast]:
    deepest, shallowest = max(planned), min(planned)
    middle_depths = [depth for depth in MIDDLE if depth in planned]
    middle = sample(
        " and ".join(map(str, middle_depths)) + " layers",
        [runs.get(depth, []) for depth in middle_depths],
        objective,
    )
    found = []
    for depth, name in ((deepest, "the deepest"), (shallowest, "the shallowest")):
        if depth > max(MIDDLE) or depth < min(MIDDLE):
            side = sample(f"{name} ({depth} layers)", [runs.get(depth, [])], objective)
            found.append(Contrast("objective", higher=side, lower=middle))
    return found


def objective(trial: TrialView) -> float | None:
    return trial.objective


def _notes(runs: Mapping[int, Sequence[TrialView]]) -> list[str]:
    fan_in = {depth: value for depth, arm in runs.items() if (value := arm[0].number_of(HEAD_FAN_IN))}
    notes = []
    if len(set(fan_in.values())) > 1:
        shown = ", ".join(f"{value:.0f} at depth {depth}" for depth, value in fan_in.items())
        notes.append(
            f"Depth is confounded with the bottleneck here: the latent head's fan-in is {shown}. "
            "The claim at a fixed bottleneck is the one without that."
        )
    elif fan_in:
        notes.append(f"The latent head's fan-in is {next(iter(fan_in.values())):.0f} at every depth.")
    every = [record for arm in runs.values() for record in arm]
    stopped = sum(record.outcome == "converged" for record in every)
    if stopped < len(every):
        notes.append(
            f"Epochs to early stopping are censored: the budget ended {len(every) - stopped} of {len(every)} "
            "runs before it fired. The table gives the best epoch instead, which says little about speed."
        )
    return notes


def _table(runs: Mapping[int, Sequence[TrialView]]) -> Table:
    rows = []
    for depth, arm in runs.items():
        finite = [math.log(r.objective) for r in arm if r.objective is not None and r.objective > 0]
        spread = mean_interval(finite)
        lrs = sorted({lr for r in arm if (lr := r.lr) is not None})
        epochs = [value for r in arm if (value := r.best_epoch) is not None]
        fan_in = arm[0].number_of(HEAD_FAN_IN)
        rows.append(
            (
                str(depth),
                str(len(arm)),
                str(sum(r.diverged for r in arm)),
                "-" if spread is None else f"{math.exp(spread[0]):.1f}",
                "-" if spread is None else f"{math.exp(spread[1]):.1f} to {math.exp(spread[2]):.1f}",
                "-" if not lrs else " ".join(f"{lr:.2g}" for lr in lrs[:3]),
                "-" if fan_in is None else f"{fan_in:.0f}",
                f"{sum(r.outcome == 'converged' for r in arm)} of {len(arm)}",
                "-" if not epochs else f"{statistics.median(epochs):g}",
            )
        )
    columns = (
        *("depth", "runs", "diverged", "objective", "95 % interval", "learning rate"),
        *("head fan-in", "stopped early", "best epoch (median)"),
    )
    return Table("Confirming runs by depth; objective: geometric mean over seeds", columns, tuple(rows))
