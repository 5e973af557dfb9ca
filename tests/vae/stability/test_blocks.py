"""However a run is cut into blocks, its monitor measures the same numbers to the last bit."""

import math
from itertools import pairwise

import numpy as np
import pytest

from vae.stability.monitor import StabilityMonitor
from vae.stability.spikes import SpikeDetector, median_and_mad
from vae.stability.volatility import VolatilityWindow

STEPS = 400
Records = list[dict[str, float]]


def run(seed: int) -> Records:
    """A run with heavy tails, a rising KL weight, and losses and norms that are not finite, some skipped."""
    rng = np.random.default_rng(seed)
    losses = np.exp(5 - 0.005 * np.arange(STEPS) + 0.1 * rng.standard_t(2, size=STEPS))
    norms = np.exp(2 + 0.3 * rng.standard_t(3, size=STEPS))
    for values in (losses, norms):
        values[rng.random(STEPS) < 0.03] = math.inf
        values[rng.random(STEPS) < 0.03] = math.nan
    if seed % 2:
        losses[0] = math.nan
    return [
        {
            "loss": float(losses[step]),
            "recon_loss": 1.0,
            "grad_norm": float(norms[step]),
            "kl_weight": min(1.0, step // 10 / 12),
            "max_logvar": float(rng.normal()),
            "clipped": float(rng.random() < 0.3),
            "skipped": float(rng.random() < 0.7 and not math.isfinite(losses[step])),
        }
        for step in range(STEPS)
    ]


def one_by_one(monitor: StabilityMonitor, records: Records) -> Records:
    return [
        monitor.update(
            loss=record["loss"],
            grad_norm=record["grad_norm"],
            kl_weight=record["kl_weight"],
            max_logvar=record["max_logvar"],
            clipped=bool(record["clipped"]),
            skipped=bool(record["skipped"]),
        )
        for record in records
    ]


def in_blocks(monitor: StabilityMonitor, records: Records, cuts: list[int]) -> Records:
    edges = [0, *sorted(cuts), len(records)]
    return [
        measured for start, end in pairwise(edges) for measured in monitor.update_block(records[start:end])
    ]


def facts(monitor: StabilityMonitor) -> str:
    ended = monitor.outcome(active_units=1, stopped_early=False)
    return repr((monitor.state_dict(), monitor.summary(), ended))


@pytest.mark.parametrize("seed", range(6))
def test_no_way_of_cutting_a_run_changes_a_bit(seed: int) -> None:
    records = run(seed)
    reference = StabilityMonitor()
    expected = one_by_one(reference, records)
    assert {record["loss_spike"] for record in expected} == {0.0, 1.0}
    rng = np.random.default_rng(seed)
    # One cut twice is an empty block.
    random = [rng.integers(STEPS + 1, size=rng.integers(1, 60)).tolist() for _ in range(4)]
    for cuts in ([], list(range(0, STEPS, 32)), list(range(STEPS)), [5, 5], *random):
        monitor = StabilityMonitor()
        assert repr(in_blocks(monitor, records, cuts)) == repr(expected), cuts
        assert facts(monitor) == facts(reference)


@pytest.mark.parametrize("stop", [0, 1, 3, 17, 100, 127, 128, 129, 150, 300])
def test_a_monitor_restored_between_blocks_goes_on_the_same(stop: int) -> None:
    records = run(0)
    reference, monitor, restored = StabilityMonitor(), StabilityMonitor(), StabilityMonitor()
    expected = one_by_one(reference, records)
    monitor.update_block(records[:stop])
    restored.load_state_dict(monitor.state_dict())
    assert repr(in_blocks(restored, records[stop:], [20, 21, 60])) == repr(expected[stop:])
    assert facts(restored) == facts(reference)


def test_the_measures_of_a_step_depend_on_its_window_alone() -> None:
    """However many steps are measured at once, and wherever in the block a step stands."""
    norms = np.exp(np.random.default_rng(1).normal(size=1000)).tolist()
    measured = VolatilityWindow().update_block(norms)
    for step in range(20, 1000, 7):
        assert VolatilityWindow(norms[max(0, step - 127) : step + 1]).now() == measured[step]


def test_norms_of_zero_or_beyond_the_squares_of_floats_raise_no_warning() -> None:
    zero = VolatilityWindow([0.0] * 20).now()
    assert (zero.volatility, zero.jump) == (0.0, 0.0)
    assert math.isnan(zero.cv)
    huge = VolatilityWindow([1e300, 1e-300] * 20).now()
    assert math.isfinite(huge.volatility)
    assert huge.cv == math.inf


def test_a_spike_detector_takes_blocks() -> None:
    values = np.exp(0.1 * np.random.default_rng(3).standard_t(2, size=300)).tolist()
    one, other = SpikeDetector(), SpikeDetector()
    expected = [one.update(value) for value in values]
    assert other.update_block(values[:70]) + other.update_block(values[70:]) == expected
    assert one.state_dict() == other.state_dict()
    assert any(expected)


@pytest.mark.parametrize("count", [1, 2, 3, 32, 63, 64, 127, 128])
def test_median_and_mad_of_sorted_values_are_those_of_numpy(count: int) -> None:
    rng = np.random.default_rng(count)
    for values in (rng.standard_t(2, size=count), rng.integers(4, size=count).astype(float), np.ones(count)):
        median = np.median(values)
        assert median_and_mad(sorted(values.tolist())) == (median, np.median(np.abs(values - median)))


def test_a_state_keeps_the_names_that_checkpoints_have() -> None:
    monitor = StabilityMonitor()
    monitor.update_block(run(0)[:200])
    state = monitor.state_dict()
    assert set(state) == {
        "steps",
        "clipped",
        "skipped",
        "first_loss",
        "last_finite_loss",
        "nonfinite_step",
        "regressed_step",
        "max_logvar",
        "loss_spikes",
        "grad_spikes",
        "_grad_norms",
        "_recent_losses",
        "_smoothed",
        "_best_smoothed",
        "_steps_above",
        "_kl_weight",
    }
    assert set(state["loss_spikes"]) == {"events", "average", "deviations", "step", "last_spike"}
    assert len(state["_grad_norms"]) == 128
