"""The stability of a run, measured at every step, and how the run ended.

Which quantity shows that the border is near: `tests/benchmarks/volatility_scan.py`, laptop base at 32 px,
constant rates 10^-4.4 to 10^-0.8, three seeds, 140 steps. Thresholds chosen on depths 3 and 5 of the bundled
scenes, for 11 runs within 0.75 decades below the border against 33 at 1.25 or more; judged on depth 2 (6, 12)
and on photographs at depth 4 (5, 15). Area under the ROC curve; then the share of near runs caught and of
safe ones given a false alarm. Sorted by the worse of the two held-out parts:

    quantity                         chosen on        depth 2           photographs
    update_ratio, median             0.97 > 0.00538   1.00 1.00, 0.00   1.00 1.00, 0.00
    grad_norm_jump                   0.96 > 0.496     1.00 1.00, 0.00   1.00 0.80, 0.00
    preconditioned_sharpness         0.98 > 0.228     0.97 0.83, 0.17   0.97 1.00, 0.20
    grad_norm_cv                     0.97 > 0.64      1.00 1.00, 0.00   0.99 0.60, 0.00
    max_logvar                       0.95 > 12.4      0.99 0.83, 0.08   1.00 0.60, 0.00
    lr                               1.00 > 0.00699   1.00 0.50, 0.00   1.00 1.00, 0.00
    critical_sharpness               0.15 < 181       0.24 0.50, 0.08   0.00 1.00, 0.13
    grad_norm_volatility             0.99 > 0.498     1.00 1.00, 0.00   1.00 0.40, 0.00
    max_logvar, median               0.93 > 2.09      0.94 1.00, 0.17   1.00 0.40, 0.00
    edge_ratio                       0.99 > 0.41      0.94 0.83, 0.08   0.95 0.40, 0.00
    lr / foretold border             1.00 > 0.12      1.00 1.00, 0.00   1.00 0.40, 0.00
    grad_norm, median                0.27 < 537       0.22 0.33, 0.08   0.17 1.00, 0.47
    spike_score_grad_norm            0.60 > 0.355     0.81 0.67, 0.08   0.60 0.20, 0.00
    alpha                            0.99 > -0.284    0.97 0.83, 0.08   0.92 0.20, 0.00
    stable_adamw_rms, median         0.28 < 1.02      0.11 0.67, 0.00   0.44 0.20, 0.07
    spike_score_loss                 0.64 > 0.355     0.75 0.50, 0.00   0.50 0.00, 0.00
    edge_ratio_line_search           0.99 > 0.37      0.96 0.83, 0.17   0.91 0.00, 0.00
    batch_sharpness                  0.14 < 1.69e+03  0.71 0.00, 0.00   0.00 0.60, 0.00
    gradient_snr                     0.14 < 0.511     0.11 0.67, 0.08   0.92 0.00, 0.00
    lr * sharpness at initialisation 1.00 > 47        1.00 0.00, 0.00   1.00 1.00, 0.00
    loss, median                     0.62 > 321       0.32 0.50, 0.67   0.44 0.80, 0.73
    stable_adamw_rms, largest        0.57 > 1.67      0.29 0.50, 0.75   0.55 0.40, 0.60

The borders were at 10^-1.40, -1.13, -1.80 and -1.53. So few runs leave every share uncertain by about 0.2.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from vae.stability.spikes import SpikeDetector
from vae.stability.volatility import VolatilityWindow

DIVERGED_WINDOW = 20
REGRESSED_STEPS = 100
REGRESSED_FACTOR = 2.0
LOSS_SMOOTHING = 0.1


class Outcome(StrEnum):
    """How a run ended: the first of these that holds, in this order."""

    NONFINITE = "nonfinite"
    """Loss or gradient not finite."""
    DIVERGED = "diverged"
    """Mean loss of the last 20 steps not below the first loss (Sohl-Dickstein 2024's rule).

    The first loss is that of one batch, at the KL weight of its step, which is 0 if the weight rises: so a
    run that hardly learns can be called diverged. Laptop base, depths 2, 4 and 8, 12 epochs, one seed: the
    first batch lay 7 to 10 % below the mean batch, so every run at lr 1e-6 was called diverged, and so was
    the one of depth 4 at 1e-5 with kl_weight 10; the KL was at most 2 % of those losses. None was at 3e-5 or
    above.
    """
    REGRESSED = "regressed"
    """Smoothed loss above twice its best for 100 steps."""
    COLLAPSED = "collapsed"
    """No active latent unit: posterior collapse, and nothing else."""
    CONVERGED = "converged"
    """Early stopping fired."""
    BUDGET = "budget"
    """The epochs ran out."""
    PROBED = "probed"
    """A probe that stayed finite: it ended as soon as its border label was known (`vae.stability.labels`)."""

    @property
    def unstable(self) -> bool:
        return self in (Outcome.NONFINITE, Outcome.DIVERGED, Outcome.REGRESSED)

    @property
    def objective_is_infinite(self) -> bool:
        return self in (Outcome.NONFINITE, Outcome.DIVERGED)


class StabilityMonitor:
    """Follows a run by its steps, one by one or in blocks; `outcome()` judges it.

    `state_dict()` holds the window of gradient norms, the spike detectors, the counts of steps, of clipped
    and of skipped ones, the first, last and recent losses, the smoothed loss and its best, and the largest
    log-variance so far.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.clipped = 0
        self.skipped = 0
        self.first_loss: float | None = None
        self.last_finite_loss: float | None = None
        self.nonfinite_step: int | None = None
        self.regressed_step: int | None = None
        self.max_logvar = -math.inf
        self.loss_spikes = SpikeDetector()
        self.grad_spikes = SpikeDetector()
        self._window = VolatilityWindow()
        self._recent_losses: list[float] = []
        self._smoothed: float | None = None
        self._best_smoothed = math.inf
        self._steps_above = 0
        self._kl_weight: float | None = None

    def update(
        self,
        *,
        loss: float,
        grad_norm: float,
        kl_weight: float,
        max_logvar: float,
        clipped: bool,
        skipped: bool = False,
    ) -> dict[str, float]:
        """Takes the values of one optimizer step; returns what is measured beyond them."""
        record = {
            "loss": loss,
            "grad_norm": grad_norm,
            "kl_weight": kl_weight,
            "max_logvar": max_logvar,
            "clipped": clipped,
            "skipped": skipped,
        }
        return self.update_block([record])[0]

    def update_block(self, records: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
        """Takes the records of consecutive steps; returns what `update` would for each, to the last bit.

        records: with the values that `update` takes by name, and any others; clipped and skipped are 0 or 1.
        """
        counts = [self._follow(record) for record in records]
        counted = [record for record, does in zip(records, counts, strict=True) if does]
        loss_spikes = iter(self.loss_spikes.update_block([record["loss"] for record in counted]))
        grad_spikes = iter(self.grad_spikes.update_block([record["grad_norm"] for record in counted]))
        norms = [record["grad_norm"] if does else None for record, does in zip(records, counts, strict=True)]
        return [
            {
                "grad_norm_volatility": volatility,
                "grad_norm_cv": cv,
                "grad_norm_jump": jump,
                "loss_spike": float(does and next(loss_spikes)),
                "grad_norm_spike": float(does and next(grad_spikes)),
            }
            for does, (volatility, cv, jump) in zip(counts, self._window.update_block(norms), strict=True)
        ]

    def _follow(self, record: Mapping[str, float]) -> bool:
        """Follows the counts and losses by one step; returns whether its values are finite, so that they
        count for the windows too."""
        loss, skipped = record["loss"], bool(record["skipped"])
        self.steps += 1
        self.clipped += bool(record["clipped"])
        self.skipped += skipped
        if self.first_loss is None:
            self.first_loss = loss
        if math.isfinite(loss) or not skipped:
            self._recent_losses = [*self._recent_losses[-(DIVERGED_WINDOW - 1) :], loss]
        if not (math.isfinite(loss) and math.isfinite(record["grad_norm"])):
            # A skipped step does not make the run nonfinite.
            if self.nonfinite_step is None and not skipped:
                self.nonfinite_step = self.steps - 1
            return False
        self.last_finite_loss = loss
        self.max_logvar = max(self.max_logvar, record["max_logvar"])
        self._follow_regression(loss, record["kl_weight"])
        return True

    def _follow_regression(self, loss: float, kl_weight: float) -> None:
        # A rising KL weight raises the loss although nothing is wrong, so the comparison restarts
        # whenever the weight changes.
        if kl_weight != self._kl_weight:
            self._kl_weight, self._smoothed = kl_weight, loss
            self._best_smoothed, self._steps_above = math.inf, 0
        assert self._smoothed is not None
        self._smoothed += LOSS_SMOOTHING * (loss - self._smoothed)
        self._best_smoothed = min(self._best_smoothed, self._smoothed)
        # From the absolute value, so that a negative log likelihood is judged in the same way.
        limit = self._best_smoothed + (REGRESSED_FACTOR - 1) * abs(self._best_smoothed)
        self._steps_above = self._steps_above + 1 if self._smoothed > limit else 0
        if self._steps_above >= REGRESSED_STEPS and self.regressed_step is None:
            self.regressed_step = self.steps - 1

    def summary(self) -> dict[str, float]:
        """Figures of the whole run so far. Fractions are shares of steps, spike scores are per 100 steps."""
        steps = max(self.steps, 1)
        v = self._window.now()
        return {
            "grad_norm_volatility": v.volatility,
            "grad_norm_cv": v.cv,
            "grad_norm_jump": v.jump,
            "clip_fraction": self.clipped / steps,
            "skip_fraction": self.skipped / steps,
            "spike_score_loss": 100 * self.loss_spikes.events / steps,
            "spike_score_grad_norm": 100 * self.grad_spikes.events / steps,
            "max_logvar": self.max_logvar if math.isfinite(self.max_logvar) else math.nan,
        }

    def outcome(self, *, active_units: int, stopped_early: bool) -> tuple[Outcome, int | None, str]:
        """How the run ended, the step at which that was known (None: at its end), and the reason in words."""
        if self.nonfinite_step is not None:
            what = f"loss or gradient not finite at step {self.nonfinite_step}"
            return Outcome.NONFINITE, self.nonfinite_step, what
        # A short run is judged by all its steps after the first.
        recent = self._recent_losses[-min(DIVERGED_WINDOW, self.steps - 1) :] if self.steps > 1 else []
        if self.first_loss is not None and recent and sum(recent) / len(recent) >= self.first_loss:
            mean = sum(recent) / len(recent)
            what = f"mean loss of the last {len(recent)} steps, {mean:.4g}, not below the first, "
            return Outcome.DIVERGED, self.steps - 1, what + f"{self.first_loss:.4g}"
        if self.regressed_step is not None:
            what = f"smoothed loss above twice its best for {REGRESSED_STEPS} steps"
            return Outcome.REGRESSED, self.regressed_step, f"{what} at step {self.regressed_step}"
        if active_units == 0:
            return Outcome.COLLAPSED, None, "no active latent unit: posterior collapse"
        if stopped_early:
            return Outcome.CONVERGED, None, "early stopping: the validation objective stopped improving"
        return Outcome.BUDGET, None, "all epochs done"

    def state_dict(self) -> dict[str, Any]:
        parts = ("loss_spikes", "grad_spikes", "_window")
        state = {k: v for k, v in vars(self).items() if k not in parts}
        state = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}
        return state | {
            "_grad_norms": self._window.norms,
            "loss_spikes": self.loss_spikes.state_dict(),
            "grad_spikes": self.grad_spikes.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self.loss_spikes.load_state_dict(state.pop("loss_spikes"))
        self.grad_spikes.load_state_dict(state.pop("grad_spikes"))
        self._window = VolatilityWindow(state.pop("_grad_norms"))
        for name, value in state.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)
