"""The record of an epoch and the result of a run, put together from what was measured."""

import math

from torch import Tensor

from vae.quality.model import ModelQuality
from vae.stability.monitor import Outcome
from vae.training.evaluate import Evaluation
from vae.training.hooks import RunResult
from vae.training.state import TrainState


def epoch_record(
    records: list[dict[str, float]], evaluation: Evaluation, objective: float
) -> dict[str, float]:
    """Means over the records of an epoch's steps, and the validation at its end."""

    def mean(name: str) -> float:
        return sum(record[name] for record in records) / max(len(records), 1)

    extra = [name for name in records[0] if name.startswith("extra_")] if records else []
    return {
        "train/loss": mean("loss"),
        "train/recon_loss": mean("recon_loss"),
        "train/kl": mean("kl"),
        "val/objective": objective,
        "val/recon_loss": evaluation.recon_loss,
        "val/kl": evaluation.kl,
        "val/psnr": evaluation.psnr,
        "latent/active_units": float(evaluation.active_units),
        **{f"train/{name}": mean(name) for name in extra},
        **({"val/extra": evaluation.extra} if extra else {}),
    }


def probe_result(state: TrainState, crossed: bool | None, seconds: float) -> RunResult:
    """The result of a probe; crossed is its verdict."""
    step = state.monitor.nonfinite_step
    word = "crosses" if crossed else "does not cross"
    return RunResult(
        outcome=Outcome.PROBED if step is None else Outcome.NONFINITE,
        reason=f"a probe: {word} the {state.config.probe.label} border within {state.step} steps",
        objective=math.inf,
        best_epoch=None,
        outcome_step=step,
        last_finite_loss=state.monitor.last_finite_loss,
        steps=state.step,
        epochs=state.epoch,
        seconds=seconds,
        observation=state.labels.observation(),
        summary=_stability(state),
    )


def run_result(
    state: TrainState,
    ending: tuple[Outcome, int | None, str],
    evaluation: Evaluation,
    tested: Evaluation | None,
    quality: ModelQuality | None,
    weights: dict[str, Tensor],
    seconds: float,
) -> RunResult:
    """The result of a normal run.

    ending: the monitor's `outcome()`. evaluation, tested and quality: of the selected weights, which are
    `weights`, on the validation tiles and on the test tiles.
    """
    outcome, step, reason = ending
    return RunResult(
        outcome=outcome,
        reason=reason,
        objective=math.inf if outcome.objective_is_infinite else state.best_objective,
        best_epoch=None if outcome is Outcome.NONFINITE else state.best_epoch,
        outcome_step=step,
        last_finite_loss=state.monitor.last_finite_loss,
        steps=state.step,
        epochs=state.epoch,
        seconds=seconds,
        observation=state.labels.observation(),
        summary=_stability(state)
        | {
            "val/best_recon_loss": evaluation.recon_loss,
            "val/best_kl": evaluation.kl,
            "val/best_psnr": evaluation.psnr,
            "latent/active_units": evaluation.active_units,
        }
        | (_test_figures(tested, state.config.objective.kl_weight) if tested else {})
        | (quality.figures if quality else {}),
        weights=weights,
        likelihood={
            k: v.detach().to("cpu", copy=True) for k, v in state.loss.likelihood.state_dict().items()
        },
        intervals=quality.intervals if quality else {},
        kl_per_dim=quality.kl_per_dim if quality else (),
    )


def _test_figures(tested: Evaluation, kl_weight: float) -> dict[str, float]:
    return {
        "test/objective": tested.objective(kl_weight),
        "test/recon_loss": tested.recon_loss,
        "test/kl": tested.kl,
    }


def _stability(state: TrainState) -> dict[str, float]:
    return {f"stability/{name}": value for name, value in state.summary().items()}
