"""A probe is the start of the run it stands for, and ends when its label is known."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from vae.config import ObjectiveConfig, TrainConfig
from vae.loss.loss import _spread_on_device, mean_image_loss
from vae.model.pixels import normalise
from vae.stability.labels import LABELS, verdict
from vae.stability.monitor import Outcome

Small = Callable[..., TrainConfig]
RunFit = Callable[..., Any]


@pytest.mark.parametrize("label", ["blowup", "nonfinite"])
def test_a_probe_takes_the_steps_of_its_run_and_stops_at_its_horizon(
    small: Small, run_fit: RunFit, label: str
) -> None:
    whole = run_fit(small(epochs=4))
    probe = run_fit(small(epochs=4, probe={"label": label, "horizon": 16}))
    assert probe.result.steps == 16
    assert repr(probe.watcher.steps) == repr(whole.watcher.steps[:16])
    assert probe.result.outcome is Outcome.PROBED
    assert not probe.watcher.epochs
    assert not probe.watcher.pictures
    assert not probe.result.weights


@pytest.mark.parametrize("label", LABELS)
def test_a_probe_that_crosses_ends_there(small: Small, run_fit: RunFit, label: str) -> None:
    result = run_fit(small(epochs=40, optim={"lr": 1e3}, probe={"label": label})).result
    observed = result.observation
    assert verdict(label, observed, None) is True  # type: ignore[arg-type]
    crossed = observed.blowup_step if label == "blowup" else observed.nonfinite_step
    assert crossed is not None
    assert result.steps == crossed + 1 < 40 * 5
    assert "crosses" in result.reason


def test_a_full_probe_and_a_normal_run_observe_the_same(small: Small, run_fit: RunFit) -> None:
    normal = run_fit(small(early_stopping_patience=0)).result.observation
    probe = run_fit(small(probe={"label": "useless"})).result.observation
    assert probe == normal
    assert probe.steps == probe.total_steps


def test_a_long_probe_resumes_bit_equal(small: Small, run_fit: RunFit, tmp_path: Any) -> None:
    config = small(epochs=4, probe={"label": "nonfinite"})
    stop = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_fit(config, tmp_path / "state.pt", stop, ("step", 12))
    resumed = run_fit(config, tmp_path / "state.pt")
    assert resumed.watcher.steps[0]["step"] == 10
    assert resumed.result.observation == run_fit(config).result.observation


def test_predicting_the_mean_image_costs_its_variance(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    tiles = make_tiles(40)
    x = normalise(tiles, "tanh_unit")
    loss = mean_image_loss(small().objective, tiles, "tanh_unit")
    assert loss == pytest.approx(float(x.var(0, correction=0).sum()), rel=1e-5)
    assert mean_image_loss(ObjectiveConfig(likelihood="gaussian"), tiles, "tanh_unit") is None
    assert torch.is_tensor(x)


@pytest.mark.parametrize("output_range", ["tanh_unit", "imagenet_linear"])
def test_the_loss_of_the_mean_image_is_the_same_part_by_part(
    make_tiles: Callable[..., Tensor], output_range: str
) -> None:
    tiles = make_tiles(300)
    whole = mean_image_loss(ObjectiveConfig(), tiles, output_range)
    assert _spread_on_device(tiles, output_range) == pytest.approx(whole, rel=1e-5)


def test_what_a_probe_cannot_do_is_refused(small: Small) -> None:
    with pytest.raises(ValidationError, match=r"needs objective\.likelihood=mse_sum"):
        small(probe={"label": "useless"}, objective={"likelihood": "gaussian"})
    with pytest.raises(ValidationError, match="waits on validation"):
        small(probe={"label": "blowup"}, optim={"lr_schedule": "plateau"})
