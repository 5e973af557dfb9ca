"""The monitor's numbers against direct computations, and the outcomes of made-up runs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from vae.stability.monitor import Outcome, StabilityMonitor
from vae.stability.volatility import VolatilityWindow

NAMES = ("grad_norm_volatility", "grad_norm_cv", "grad_norm_jump")


def feed(
    losses: Sequence[float],
    grad_norms: Sequence[float] | None = None,
    kl_weights: Sequence[float] | None = None,
    monitor: StabilityMonitor | None = None,
) -> tuple[StabilityMonitor, list[dict[str, float]]]:
    monitor = monitor or StabilityMonitor()
    grad_norms = [1.0] * len(losses) if grad_norms is None else grad_norms
    kl_weights = [1.0] * len(losses) if kl_weights is None else kl_weights
    measured = [
        monitor.update(loss=loss, grad_norm=g, kl_weight=w, max_logvar=0.0, clipped=False)
        for loss, g, w in zip(losses, grad_norms, kl_weights, strict=True)
    ]
    return monitor, measured


def outcome(*args: Any, active_units: int = 5, stopped_early: bool = False) -> Outcome:
    monitor, _ = feed(*args)
    return monitor.outcome(active_units=active_units, stopped_early=stopped_early)[0]


def noisy(steps: int, seed: int = 0) -> np.ndarray:
    """Log-normal gradient norms with a trend and a few jumps."""
    rng = np.random.default_rng(seed)
    return np.exp(5 - 0.01 * np.arange(steps) + 0.3 * rng.normal(size=steps) + 2 * (rng.random(steps) < 0.02))


def direct(g: np.ndarray) -> tuple[float, float, float]:
    x, t = np.log(g), np.arange(len(g))
    residuals = x - np.polyval(np.polyfit(t, x, 1), t)
    return float(np.std(residuals)), float(np.std(g) / np.mean(g)), float(np.mean(np.abs(x[1:] - x[:-1])))


def test_volatility_is_that_of_the_last_128_steps_fitted_directly() -> None:
    g = noisy(300)
    _, measured = feed([1.0] * 300, list(g))
    for step in range(15, 300):
        expected = direct(g[max(0, step - 127) : step + 1])
        assert [measured[step][name] for name in NAMES] == pytest.approx(expected, rel=1e-9), step
        assert VolatilityWindow(list(g[max(0, step - 127) : step + 1])).now() == pytest.approx(
            expected, rel=1e-9
        )


def test_volatility_is_not_a_number_below_16_steps() -> None:
    _, measured = feed([1.0] * 16, list(noisy(16)))
    for record in measured[:15]:
        assert all(math.isnan(record[name]) for name in NAMES)
    assert all(math.isfinite(measured[15][name]) for name in NAMES)


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_the_scale_of_the_gradient_changes_no_measure(scale: float) -> None:
    g = noisy(250)
    _, one = feed([1.0] * 250, list(g))
    _, other = feed([1.0] * 250, list(scale * g))
    for a, b in zip(one[15:], other[15:], strict=True):
        for name in (*NAMES, "grad_norm_spike"):
            assert a[name] == pytest.approx(b[name], rel=1e-6)


@pytest.mark.parametrize("slope", [-0.05, 0.01, 0.1])
def test_a_purely_exponential_trend_has_no_volatility(slope: float) -> None:
    g = np.exp(slope * np.arange(200))
    v = VolatilityWindow(list(g[-128:])).now()
    assert v.volatility < 1e-10
    assert v.jump == pytest.approx(abs(slope))
    assert v.cv == pytest.approx(np.std(g[-128:]) / np.mean(g[-128:]))


def test_norms_older_than_128_steps_are_forgotten() -> None:
    calm = np.exp(-0.01 * np.arange(128))
    _, measured = feed([1.0] * 328, [*noisy(200), *calm])
    assert measured[-2]["grad_norm_volatility"] > 0.01
    assert measured[-1]["grad_norm_volatility"] < 1e-10
    assert measured[-1]["grad_norm_jump"] == pytest.approx(0.01)


def test_a_step_that_is_not_finite_leaves_the_measures_as_they_were() -> None:
    g = list(noisy(60))
    monitor, measured = feed([1.0] * 60, g)
    for loss, grad_norm in ((math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)):
        after = monitor.update(
            loss=loss, grad_norm=grad_norm, kl_weight=1, max_logvar=math.nan, clipped=False
        )
        assert [after[name] for name in NAMES] == [measured[-1][name] for name in NAMES]
    assert monitor.last_finite_loss == 1.0
    assert monitor.nonfinite_step == 60
    assert monitor.max_logvar == 0.0


def test_the_summary_counts_over_the_whole_run() -> None:
    rng = np.random.default_rng(0)
    clipped, skipped, logvars = rng.random(150) < 0.3, rng.random(150) < 0.1, rng.normal(size=150)
    losses = np.exp(0.05 * rng.normal(size=150))
    losses[[100, 103, 140]] *= 5
    monitor, events = StabilityMonitor(), []
    for i in range(150):
        record = monitor.update(
            loss=losses[i],
            grad_norm=1 + 0.1 * rng.random(),
            kl_weight=1,
            max_logvar=logvars[i],
            clipped=bool(clipped[i]),
            skipped=bool(skipped[i]),
        )
        events += [i] if record["loss_spike"] else []
    summary = monitor.summary()
    assert events == [100, 103, 140]
    assert summary["spike_score_loss"] == pytest.approx(100 * 2 / 150)
    assert summary["spike_score_grad_norm"] == 0
    assert summary["clip_fraction"] == pytest.approx(clipped.mean())
    assert summary["skip_fraction"] == pytest.approx(skipped.mean())
    assert summary["max_logvar"] == logvars.max()
    assert [summary[name] for name in NAMES] == [record[name] for name in NAMES]


FALLING = list(np.geomspace(1000, 100, 60))
WORSE = [*FALLING, *[500.0] * 200]
WORST = [*WORSE, *[2000.0] * 20]


def test_outcomes_hold_in_their_order_of_precedence() -> None:
    """Each run has all the faults of the outcomes below its own, and the next one lacks the first of them."""
    broken = [*WORST, math.nan]
    assert outcome(broken, active_units=0, stopped_early=True) is Outcome.NONFINITE
    assert outcome(WORST, active_units=0, stopped_early=True) is Outcome.DIVERGED
    assert outcome(WORSE, active_units=0, stopped_early=True) is Outcome.REGRESSED
    assert outcome(FALLING, active_units=0, stopped_early=True) is Outcome.COLLAPSED
    assert outcome(FALLING, active_units=1, stopped_early=True) is Outcome.CONVERGED
    assert outcome(FALLING, active_units=1, stopped_early=False) is Outcome.BUDGET


def test_the_first_three_outcomes_are_unstable_and_the_first_two_have_no_objective() -> None:
    assert [o for o in Outcome if o.unstable] == [Outcome.NONFINITE, Outcome.DIVERGED, Outcome.REGRESSED]
    assert [o for o in Outcome if o.objective_is_infinite] == [Outcome.NONFINITE, Outcome.DIVERGED]


@pytest.mark.parametrize(("loss", "grad_norm"), [(math.nan, 1), (math.inf, 1), (1, math.nan), (1, math.inf)])
def test_a_loss_or_gradient_that_is_not_finite_is_named_with_its_first_step(
    loss: float, grad_norm: float
) -> None:
    monitor, _ = feed([*FALLING, loss, 5.0, math.nan], [*[1.0] * 60, grad_norm, 1.0, 1.0])
    found, step, reason = monitor.outcome(active_units=5, stopped_early=False)
    assert (found, step) == (Outcome.NONFINITE, 60)
    assert "step 60" in reason


@pytest.mark.parametrize(("last", "diverged"), [(999.0, False), (1000.0, True), (1001.0, True)])
def test_a_run_diverged_if_the_mean_of_its_last_20_losses_is_not_below_the_first(
    last: float, diverged: bool
) -> None:
    # 20 losses about `last`, so that no single one of them decides; those before them are low.
    end = [last + (500 if i % 2 else -500) for i in range(20)]
    assert (outcome([1000.0, *[100.0] * 40, *end]) is Outcome.DIVERGED) == diverged


def test_losses_before_the_last_20_do_not_count_towards_divergence() -> None:
    assert outcome([1000.0, *[5000.0] * 80, *[900.0] * 20]) is Outcome.BUDGET
    assert outcome([1000.0, *[5000.0] * 80, *[900.0] * 19]) is Outcome.DIVERGED


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([10, 20, 40, 80, 160], Outcome.DIVERGED),
        ([10, 9, 8, 7, 200], Outcome.DIVERGED),
        ([10, 9, 8, 7, 6], Outcome.BUDGET),
        ([10, 11], Outcome.DIVERGED),
        ([10, 9], Outcome.BUDGET),
    ],
)
def test_a_short_run_is_judged_by_all_its_steps_after_the_first(
    losses: list[float], expected: Outcome
) -> None:
    assert outcome(losses) is expected


def regressed_at(losses: Sequence[float]) -> int | None:
    """The step from the definition: the average is above twice its best for the 100th time in a row."""
    average, best, above = losses[0], math.inf, 0
    for step, loss in enumerate(losses):
        average = 0.9 * average + 0.1 * loss
        best = min(best, average)
        above = above + 1 if average > 2 * best else 0
        if above == 100:
            return step
    return None


def test_a_run_regressed_if_its_smoothed_loss_stays_above_twice_its_best_for_100_steps() -> None:
    monitor, _ = feed(WORSE)
    found, step, _ = monitor.outcome(active_units=5, stopped_early=False)
    assert found is Outcome.REGRESSED
    assert step == regressed_at(WORSE)
    assert step is not None
    assert outcome(WORSE[:step]) is Outcome.BUDGET
    assert outcome(WORSE[: step + 1]) is Outcome.REGRESSED


@pytest.mark.parametrize(
    "losses",
    [
        [*FALLING, *[500.0] * 60, *[100.0] * 60, *[500.0] * 60],
        [*FALLING, *[190.0] * 300],
        [*FALLING, *([100.0] * 9 + [900.0]) * 30],
    ],
    ids=["for less than 100 steps", "by less than twice", "by single losses"],
)
def test_a_run_that_was_only_briefly_worse_did_not_regress(losses: list[float]) -> None:
    assert regressed_at(losses) is None
    assert outcome(losses) is Outcome.BUDGET


def test_a_run_that_regressed_and_recovered_still_regressed() -> None:
    assert outcome([*WORSE, *[50.0] * 300]) is Outcome.REGRESSED


def test_a_rising_kl_weight_is_no_regression() -> None:
    weights = np.clip((np.arange(600) - 100) / 400, 0, 1)
    losses = list(10 + 5 * weights + 100 * np.exp(-np.arange(600) / 10))
    losses[0] = 200.0
    assert outcome(losses) is Outcome.BUDGET
    steep = list(10 + 100 * weights + 200 * np.exp(-np.arange(600) / 10))
    assert outcome(steep, None, list(weights)) is Outcome.BUDGET
    assert outcome(steep) is Outcome.REGRESSED, "at a constant weight the same losses are one"


def test_a_regression_after_the_kl_warm_up_is_found() -> None:
    weights = np.clip(np.arange(400) / 100, 0, 1)
    losses = [1000.0, *[100.0] * 199, *[300.0] * 200]
    assert outcome(losses, None, list(weights)) is Outcome.REGRESSED


@pytest.mark.parametrize("first", [-1000.0, 50.0])
def test_a_negative_loss_can_converge_and_regress_too(first: float) -> None:
    low = list(np.linspace(first, -2000, 60))
    assert outcome([*low, *[-2000.0] * 200]) is Outcome.BUDGET
    worse = [*low, *[50.0] * 200, *[-1500.0] * 20]
    assert outcome(worse) is Outcome.REGRESSED


@pytest.mark.parametrize("stop", [0, 1, 10, 70, 150, 290])
def test_a_restored_monitor_continues_as_if_never_stopped(stop: int) -> None:
    rng = np.random.default_rng(1)
    losses = [*FALLING, *(500 * np.exp(0.2 * rng.normal(size=240)))]
    losses[200] = 4000.0
    grad_norms, weights = list(noisy(300)), list(np.clip(np.arange(300) / 50, 0, 1))
    monitor, _ = feed(losses[:stop], grad_norms[:stop], weights[:stop])
    state = monitor.state_dict()
    kept = repr(state)
    restored = StabilityMonitor()
    restored.load_state_dict(state)
    rest = losses[stop:], grad_norms[stop:], weights[stop:]
    _, expected = feed(*rest, monitor)
    _, got = feed(*rest, restored)
    assert repr(got) == repr(expected)
    assert repr(restored.summary()) == repr(monitor.summary())
    judged = [m.outcome(active_units=3, stopped_early=False) for m in (restored, monitor)]
    assert judged[0] == judged[1]
    assert judged[0][0] is Outcome.REGRESSED
    assert repr(restored.state_dict()) == repr(monitor.state_dict())
    assert repr(state) == kept, "a state is a copy"
