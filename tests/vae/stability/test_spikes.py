"""Planted spikes are found, noise has none, and the rule is the one in the docstring."""

import math

import numpy as np
import pytest

from vae.stability.spikes import SpikeDetector

SIGMA = 0.1


def direct(x: np.ndarray) -> list[bool]:
    """The definition over a whole series of logs, written out."""
    average, d = x[0], [math.nan]
    for value in x[1:]:
        d.append(value - average)
        average = 0.9 * average + 0.1 * value
    spikes = [False] * len(x)
    for t in range(1, len(x)):
        window = np.array(d[max(1, t - 128) : t])
        if len(window) >= 32:
            factor = 5 if len(window) >= 64 else 7
            median = np.median(window)
            spikes[t] = bool(d[t] > median + factor * 1.4826 * np.median(np.abs(window - median)))
    return spikes


def merged(spikes: list[bool]) -> int:
    """Spikes at most 10 steps after the one before are one event."""
    steps = np.flatnonzero(spikes)
    return int(len(steps) > 0) + int((np.diff(steps) > 10).sum())


def found(x: np.ndarray, detector: SpikeDetector | None = None) -> list[bool]:
    detector = detector or SpikeDetector()
    return [detector.update(math.exp(value)) for value in x]


@pytest.mark.parametrize("seed", range(6))
def test_the_detector_follows_the_definition_step_by_step(seed: int) -> None:
    # Heavy tails, so that both factors, the window's end and the merging of events all come up.
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_t(2, size=400)
    x[rng.integers(30, 400, size=30)] += rng.uniform(0.4, 2, size=30)
    detector = SpikeDetector()
    expected = direct(x)
    assert found(x, detector) == expected
    assert detector.events == merged(expected)
    assert sum(expected) > detector.events > 3


def planted(trend: float, series: int, positions: int) -> dict[float, list[bool]]:
    """Whether a spike of 8 and of 10 sigma is found at random steps after the 128th, each in a series of
    its own: the detector of the undisturbed series is copied before each.
    """
    rng = np.random.default_rng(0)
    hits: dict[float, list[bool]] = {8.0: [], 10.0: []}
    for _ in range(series):
        steps = 129 + 24 * positions
        x = SIGMA * (rng.normal(size=steps) + trend * np.arange(steps))
        at = set(129 + 24 * np.arange(positions) + rng.integers(24, size=positions))
        detector = SpikeDetector()
        for t, value in enumerate(x):
            if t in at:
                for height, seen in hits.items():
                    copy = SpikeDetector()
                    copy.load_state_dict(detector.state_dict())
                    seen.append(copy.update(math.exp(value + height * SIGMA)))
            detector.update(math.exp(value))
    return hits


@pytest.mark.parametrize("trend", [0.0, 0.02])
def test_planted_spikes_are_found_with_and_without_a_trend(trend: float) -> None:
    hits = planted(trend, series=60, positions=20)
    assert np.mean(hits[8.0]) >= 0.97
    assert np.mean(hits[10.0]) >= 0.999


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_noise_has_at_most_one_event_in_10000_steps(memory: float) -> None:
    """White noise and AR(0.9) noise, which wanders as a loss does."""
    rng = np.random.default_rng(5)
    events = 0
    for _ in range(5):
        detector = SpikeDetector()
        x = rng.normal() / math.sqrt(1 - memory**2)
        for shock in rng.normal(size=10_000):
            x = memory * x + shock
            detector.update(math.exp(SIGMA * x))
        events += detector.events
    assert events / 5 <= 1


@pytest.mark.parametrize(("apart", "events"), [(1, 1), (5, 1), (10, 1), (11, 2), (40, 2)])
def test_spikes_at_most_10_steps_apart_are_one_event(apart: int, events: int) -> None:
    x = SIGMA * np.random.default_rng(0).normal(size=250)
    x[[170, 170 + apart]] = 30 * SIGMA
    detector = SpikeDetector()
    spikes = found(x, detector)
    assert np.flatnonzero(spikes).tolist() == [170, 170 + apart]
    assert detector.events == events


def test_a_long_chain_of_near_spikes_is_one_event() -> None:
    x = SIGMA * np.random.default_rng(0).normal(size=300)
    x[170:240:8] = 40 * SIGMA
    detector = SpikeDetector()
    assert sum(found(x, detector)) == 9
    assert detector.events == 1


@pytest.mark.parametrize(("steps", "sees"), [(32, False), (33, True)])
def test_there_is_no_spike_before_32_deviations_are_known(steps: int, sees: bool) -> None:
    x = SIGMA * np.random.default_rng(1).normal(size=steps)
    assert found(np.append(x, 100 * SIGMA))[-1] == sees


@pytest.mark.parametrize(
    ("known", "factor"), [(32, 7), (63, 7), (64, 5), (127, 5), (128, 5), (129, 5), (300, 5)]
)
def test_the_threshold_is_7_and_from_64_deviations_on_5_robust_sigma(known: int, factor: int) -> None:
    x = SIGMA * np.random.default_rng(known).normal(size=known + 1)
    average, d = x[0], []
    for value in x[1:]:
        d.append(value - average)
        average = 0.9 * average + 0.1 * value
    median = np.median(d[-128:])
    threshold = median + factor * 1.4826 * np.median(np.abs(d[-128:] - median))
    assert found(np.append(x, average + 1.0001 * threshold))[-1]
    assert not found(np.append(x, average + 0.9999 * threshold))[-1]


def test_a_drop_is_no_spike() -> None:
    x = SIGMA * np.random.default_rng(2).normal(size=200)
    x[180] = -30 * SIGMA
    assert not any(found(x)[:181])


def test_a_constant_series_has_no_spike() -> None:
    assert not any(found(np.full(300, 4.0)))


def test_scaling_a_series_moves_no_spike() -> None:
    x = 0.1 * np.random.default_rng(3).standard_t(2, size=300)
    assert found(x) == found(x + math.log(1e4))


@pytest.mark.parametrize("stop", [0, 1, 20, 50, 100, 205])
def test_a_restored_detector_continues_as_if_never_stopped(stop: int) -> None:
    x = 0.1 * np.random.default_rng(4).standard_t(2, size=260)
    x[[200, 208]] = 5
    detector, restored = SpikeDetector(), SpikeDetector()
    found(x[:stop], detector)
    state = detector.state_dict()
    kept = repr(state)
    restored.load_state_dict(state)
    assert found(x[stop:], restored) == found(x[stop:], detector)
    assert restored.events == detector.events > 0
    assert repr(state) == kept, "a state is a copy"
