"""Stability-quality trade-off: the published claim is that what steadies training costs quality.

Two factors, each a claim of its own: gradient clipping (every policy against none) and the decay of the
learning rate (against a constant one). Each needs both: steadier gradients, and a worse objective. The
two sides are paired by seed and learning rate; where learning rates differ, they are not paired.
"""

import math
from collections.abc import Mapping, Sequence

from sweep.report.evidence.claim import Claim, Table, decide, open_claim
from sweep.report.evidence.contrast import Contrast, sample
from sweep.report.evidence.depth import objective
from sweep.store.intervals import mean_interval
from sweep.store.keys import VOLATILITY
from sweep.store.trials import TrialView, confirmed

CLIP, SCHEDULE = "optim.clip", "optim.lr_schedule"
RUN = "`python -m sweep run clip_study`"

CLIP_TITLE = "Stability-quality trade-off: clipping"
CLIP_STATEMENT = "Gradient clipping makes gradients steadier and costs quality."
DECAY_TITLE = "Stability-quality trade-off: learning-rate decay"
DECAY_STATEMENT = "Letting the learning rate decay makes gradients steadier and costs quality."


def clip_claim(trials: Sequence[TrialView], factors: frozenset[str]) -> Claim:
    """factors: the settings that tell the study's arms apart."""
    key = "tradeoff_clipping"
    if CLIP not in factors:
        return open_claim(key, CLIP_TITLE, CLIP_STATEMENT, "Arms here do not differ in clipping.", f"{RUN}.")
    arms = {arm: runs for arm, runs in confirmed(trials).items() if not _constant(runs)}
    none = [runs for runs in arms.values() if runs[0].value(CLIP) == "none"]
    clipped = [runs for runs in arms.values() if runs[0].value(CLIP) != "none"]
    return _claim(key, CLIP_TITLE, CLIP_STATEMENT, ("clipping", clipped), ("no clipping", none), arms)


def decay_claim(trials: Sequence[TrialView], factors: frozenset[str]) -> Claim:
    key = "tradeoff_decay"
    if SCHEDULE not in factors:
        why = "Arms here do not differ in the learning rate's schedule."
        return open_claim(key, DECAY_TITLE, DECAY_STATEMENT, why, f"{RUN}.")
    arms = {arm: runs for arm, runs in confirmed(trials).items() if runs[0].value(CLIP) == "none"}
    constant = [runs for runs in arms.values() if _constant(runs)]
    decayed = [runs for runs in arms.values() if not _constant(runs)]
    return _claim(
        key, DECAY_TITLE, DECAY_STATEMENT, ("a decayed rate", decayed), ("a constant rate", constant), arms
    )


def _constant(runs: Sequence[TrialView]) -> bool:
    return bool(runs[0].value(SCHEDULE) == "constant")


Side = tuple[str, list[list[TrialView]]]


def _claim(
    key: str, title: str, statement: str, steady: Side, plain: Side, arms: Mapping[str, Sequence[TrialView]]
) -> Claim:
    if not steady[1] or not plain[1]:
        why = f"No confirming runs with {plain[0] if steady[1] else steady[0]} yet."
        return open_claim(key, title, statement, why, f"Let {RUN} finish.")
    lrs = {trial.lr for side in (steady, plain) for arm in side[1] for trial in arm}
    paired = len(lrs) == 1
    contrasts = [
        Contrast("gradient-norm volatility", sample(*plain, volatility), sample(*steady, volatility), paired),
        Contrast("objective", sample(*steady, objective), sample(*plain, objective), paired),
    ]
    if paired:
        lr = next(iter(lrs))
        note = f"Every pair shares its seed and the learning rate {lr:.2g}." if lr else "Pairs share seeds."
    else:
        note = (
            "The arms' learning rates differ, so seeds are not paired and the rate is part of the difference."
        )
    return decide(key, title, statement, contrasts, (note,), (_table(arms),))


def volatility(trial: TrialView) -> float | None:
    value = trial.number_of(VOLATILITY)
    return value if value and not trial.diverged else None


def _table(arms: Mapping[str, Sequence[TrialView]]) -> Table:
    rows = []
    for arm, runs in arms.items():
        cells = [arm, str(len(runs)), str(sum(run.diverged for run in runs))]
        for quantity, form in ((objective, ".1f"), (volatility, ".3f")):
            spread = mean_interval([math.log(v) for run in runs if (v := quantity(run)) and v > 0])
            if spread is None:
                cells += ["-", "-"]
            else:
                mean, low, high = (format(math.exp(v), form) for v in spread)
                cells += [mean, f"{low} to {high}"]
        rows.append(tuple(cells))
    columns = ("arm", "runs", "diverged", "objective", "95 % interval", "volatility", "95 % interval")
    return Table("Confirming runs by arm; geometric means over seeds", columns, tuple(rows))
