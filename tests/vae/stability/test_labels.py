"""The labels of a run: step by step, resumable, and judged from the observation alone."""

import dataclasses
import math

import pytest

from vae.stability.labels import BorderLabels, Observation, is_useless, verdict

CALM = Observation(
    steps=16,
    total_steps=100,
    first_loss=10.0,
    peak_loss=80.0,
    recent_loss=5.0,
    recent_median=5.0,
    recent_peak=6.0,
    settled_loss=6.0,
    mean_image_loss=4.0,
    blowup_step=None,
    nonfinite_step=None,
)


def facts(**given: float | None) -> Observation:
    return dataclasses.replace(CALM, **given)  # type: ignore[arg-type]


def follow(losses: list[float], total: int = 100) -> BorderLabels:
    labels = BorderLabels(total, 4.0)
    for loss in losses:
        labels.update(loss, finite=math.isfinite(loss))
    return labels


def test_blowing_up_is_a_hundred_times_the_first_loss_at_its_first_step() -> None:
    assert follow([2.0, 200.0, 201.0, 900.0]).observation().blowup_step == 2
    assert follow([2.0, 200.0]).observation().blowup_step is None


def test_a_negative_log_likelihood_blows_up_in_the_same_way() -> None:
    assert follow([-2.0, 196.0]).observation().blowup_step is None
    assert follow([-2.0, 196.5]).observation().blowup_step == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_nonfinite_run_has_blown_up_at_that_step(loss: float) -> None:
    found = follow([2.0, 3.0, loss]).observation()
    assert (found.nonfinite_step, found.blowup_step) == (2, 2)
    assert all(verdict(label, found, None) is True for label in ("blowup", "nonfinite", "useless"))


def test_a_skipped_step_does_not_make_a_run_nonfinite() -> None:
    labels = follow([2.0])
    labels.update(math.inf, finite=True)
    assert labels.observation().nonfinite_step is None


def test_restored_labels_continue_as_if_never_stopped() -> None:
    losses = [3.0, 2.0, 500.0, 1.0, *[float(n) for n in range(30)]]
    whole, first, second = follow(losses), follow(losses[:20]), BorderLabels(1, None)
    second.load_state_dict(first.state_dict())
    first.update(1e9, finite=True)  # the state is a copy
    for loss in losses[20:]:
        second.update(loss, finite=True)
    assert second.observation() == whole.observation()


def test_an_observation_survives_json_without_nonfinite_values() -> None:
    found = follow([2.0, 3.0]).observation()
    assert Observation.from_dict(found.as_dict()) == found
    facts = follow([2.0, math.inf]).observation().as_dict()
    assert all(math.isfinite(value) for value in facts.values())
    assert Observation.from_dict(facts).nonfinite_step == 1


@pytest.mark.parametrize("label", ["blowup", "nonfinite"])
def test_before_the_horizon_there_is_no_verdict_and_crossing_later_counts(label: str) -> None:
    assert verdict(label, facts(steps=15), 16) is None  # type: ignore[arg-type]
    assert verdict(label, facts(steps=16), 16) is False  # type: ignore[arg-type]
    assert verdict(label, facts(steps=16), None) is None  # type: ignore[arg-type]
    late = facts(steps=90, blowup_step=80, nonfinite_step=80)
    assert verdict(label, late, 16) is True  # type: ignore[arg-type]


def test_a_run_that_is_not_calm_is_followed_further() -> None:
    restless = facts(recent_peak=11.0)
    assert verdict("blowup", restless, 16) is False
    assert verdict("nonfinite", restless, 16) is None
    assert verdict("nonfinite", dataclasses.replace(restless, steps=100), 16) is False
    assert verdict("nonfinite", dataclasses.replace(restless, steps=150, total_steps=900), 16) is False


def test_useless_is_forecast_at_a_share_of_the_run_and_earlier_in_clear_cases() -> None:
    def at(steps: int, recent_median: float) -> bool | None:
        return verdict("useless", facts(steps=steps, total_steps=400, recent_median=recent_median), 0.25)

    assert at(20, 3.1) is None
    assert at(50, 3.1) is False
    assert at(50, 3.3) is None
    assert at(50, 10.5) is True
    assert at(100, 3.9) is False
    assert at(100, 5.9) is True


def test_useless_is_not_forecast_before_the_losses_can_tell_slow_from_stuck() -> None:
    """A quarter of a short run is too little, and a still shorter run is followed to its end."""
    stuck = {"recent_median": 5.9, "settled_loss": 6.0}
    assert verdict("useless", facts(steps=42, total_steps=168, **stuck), 0.25) is None
    assert verdict("useless", facts(steps=80, total_steps=168, **stuck), 0.25) is True
    assert verdict("useless", facts(steps=42, total_steps=60, **stuck), 0.25) is None
    unmoved = {"recent_median": 10.5, "settled_loss": 10.6, "peak_loss": 12.0}
    assert verdict("useless", facts(steps=80, total_steps=168, **unmoved), 0.25) is False


def test_at_its_end_a_run_is_judged_by_its_mean_loss() -> None:
    at_end = {"steps": 100, "recent_median": 99.0}
    assert verdict("useless", facts(**at_end, recent_loss=3.9), 0.25) is False
    assert verdict("useless", facts(**at_end, recent_loss=4.1), 0.25) is True


def test_too_slow_is_not_useless() -> None:
    """A run whose loss falls, and one whose loss has hardly moved."""
    falls = {"recent_loss": 7.0, "recent_median": 7.0, "settled_loss": 9.0, "peak_loss": 40.0}
    unmoved = {"recent_loss": 9.6, "recent_median": 9.6, "settled_loss": 9.7, "peak_loss": 12.0}
    for slow in (falls, unmoved):
        assert is_useless(facts(**slow)) is False
        assert verdict("useless", facts(steps=80, total_steps=320, **slow), 0.25) is False
        for wild in ({"peak_loss": 60.0}, {"settled_loss": None}):
            assert is_useless(facts(**slow | wild)) is True
    assert is_useless(facts(**falls | {"settled_loss": 7.5})) is True
    assert is_useless(facts(**unmoved | {"peak_loss": 30.0})) is True


def test_a_run_that_is_dead_from_the_start_is_useless_although_its_loss_never_rose() -> None:
    """As with clip norm 100: at two thirds of the first loss from the first steps on."""
    dead = {"recent_loss": 6.4, "recent_median": 6.4, "settled_loss": 6.5, "peak_loss": 11.0}
    assert is_useless(facts(**dead)) is True


def test_the_losses_tell_a_run_on_its_way_from_a_stuck_one() -> None:
    falling = [10.0 - 0.05 * step for step in range(60)]
    assert is_useless(follow(falling, total=60).observation()) is False
    assert is_useless(follow([10.0, *[8.0] * 59], total=60).observation()) is True
    assert is_useless(follow([*falling[:50], 60.0, *falling[51:]], total=60).observation()) is True


def test_without_a_mean_image_loss_useless_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="mean-image loss"):
        is_useless(facts(mean_image_loss=None))
