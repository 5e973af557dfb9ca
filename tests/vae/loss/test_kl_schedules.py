"""The shape of every schedule of the KL weight: start, end, direction."""

import math
from typing import Any

import numpy as np
import pytest

from vae.config import ObjectiveConfig
from vae.loss.kl_schedules import kl_warmup_end, kl_weight
from vae.names import KL_SCHEDULES

TOTALS = pytest.mark.parametrize("total", [10, 24, 100, 333])


def weights(total: int, **settings: Any) -> np.ndarray:
    config = ObjectiveConfig.model_validate(settings)
    return np.array([kl_weight(step, total, config) for step in range(total)])


@TOTALS
@pytest.mark.parametrize("name", KL_SCHEDULES.names)
def test_a_kl_weight_stays_within_its_final_value_and_ends_there(name: str, total: int) -> None:
    w = weights(total, kl_schedule=name, kl_weight=3.0)
    assert w[-1] == 3.0
    assert w.min() >= 0
    assert w.max() == 3.0


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.9])
def test_a_kl_warm_up_rises_from_zero_and_then_stays(name: str, fraction: float) -> None:
    w = weights(200, kl_schedule=name, kl_warmup_fraction=fraction)
    end = round(fraction * 200)
    assert w[0] == 0
    assert (np.diff(w[: end + 1]) > 0).all()
    assert (w[:end] < 1).all()
    assert (w[end:] == 1).all()
    assert w[end // 2] == pytest.approx(0.5)


def test_a_linear_warm_up_rises_in_equal_steps_and_a_cosine_one_eases_in_and_out() -> None:
    linear = np.diff(weights(200, kl_schedule="linear", kl_warmup_fraction=0.5)[:101])
    assert np.allclose(linear, 1 / 100)
    cosine = np.diff(weights(200, kl_schedule="cosine", kl_warmup_fraction=0.5)[:101])
    assert np.allclose(cosine, cosine[::-1])
    assert (np.diff(cosine[:50]) > 0).all()


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_no_warm_up_is_the_final_weight_throughout(name: str) -> None:
    assert (weights(50, kl_schedule=name, kl_warmup_fraction=0) == 1).all()


@pytest.mark.parametrize("cycles", [1, 4, 5])
def test_each_cycle_ramps_over_its_first_half_and_stays_over_its_second(cycles: int) -> None:
    length = 40
    w = weights(cycles * length, kl_schedule="cyclical", kl_cycles=cycles).reshape(cycles, length)
    assert np.allclose(w, w[0])
    assert np.allclose(w[0, : length // 2], np.arange(length // 2) / (length // 2))
    assert (w[:, length // 2 :] == 1).all()


@TOTALS
@pytest.mark.parametrize(
    "settings",
    [
        {"kl_schedule": "constant"},
        *({"kl_schedule": "linear", "kl_warmup_fraction": f} for f in (0, 0.05, 0.25, 0.3, 0.5, 0.9)),
        *({"kl_schedule": "cosine", "kl_warmup_fraction": f} for f in (0, 0.05, 0.25, 0.3, 0.5, 0.9)),
        *({"kl_schedule": "cyclical", "kl_cycles": c} for c in (1, 2, 3, 4)),
    ],
    ids=str,
)
def test_the_warm_up_ends_at_the_first_step_of_the_final_weight(settings: dict[str, Any], total: int) -> None:
    w = weights(total, **settings)
    assert kl_warmup_end(total, ObjectiveConfig.model_validate(settings)) == int(np.argmax(w == 1.0))


@pytest.mark.parametrize("name", KL_SCHEDULES.names)
def test_a_schedule_is_finite_at_every_step_of_a_run_of_any_length(name: str) -> None:
    for total in (1, 2, 3, 7):
        for step in range(total):
            assert math.isfinite(kl_weight(step, total, ObjectiveConfig(kl_schedule=name)))


@TOTALS
@pytest.mark.parametrize("name", KL_SCHEDULES.names)
def test_from_the_end_of_the_warm_up_on_no_weight_is_larger_than_the_final_one_and_one_is_equal(
    name: str, total: int
) -> None:
    end = kl_warmup_end(total, ObjectiveConfig(kl_schedule=name))
    after = weights(total, kl_schedule=name)[end:]
    assert 0 <= end < total
    assert after.max() == 1.0
