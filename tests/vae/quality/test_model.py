"""The quality of a model, and which runs have it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.loss.loss import kl_per_dim
from vae.model.latent import fixed_noise
from vae.model.network import VAE, build_model
from vae.model.pictures import take_pictures
from vae.model.pixels import normalise
from vae.quality import METRICS, measure, psnr, ssim
from vae.quality.model import MIN_TILES, model_quality
from vae.training.fit import fit
from vae.training.hooks import RunResult

Small = Callable[..., TrainConfig]
MakeTiles = Callable[..., Tensor]


def run(config: TrainConfig, make_tiles: MakeTiles, test: Tensor | None) -> RunResult:
    loader = BatchLoader(make_tiles(40), config.batch_size, config.seed)
    return fit(config, loader, make_tiles(12, seed=1), test=test)


def rebuilt(config: TrainConfig, result: RunResult) -> VAE:
    model = build_model(config.model, 5)
    model.load_state_dict(result.weights)
    return model.eval()


def quality_keys(result: RunResult) -> set[str]:
    return {name for name in result.summary if name.startswith(("quality/", "latent/test"))}


def test_a_run_ends_with_the_quality_of_its_selected_weights_on_the_test_tiles(
    small: Small, make_tiles: MakeTiles
) -> None:
    config, test = small(epochs=2, quality_draws=5), make_tiles(24, seed=2)
    result = run(config, make_tiles, test)
    model = rebuilt(config, result)
    noise = fixed_noise(24, 6, torch.device("cpu"))
    pictures = take_pictures(model, test, noise)
    summary, m = result.summary, measure(test, pictures.samples, bootstrap=5)
    for name in (
        "swd_32",
        "swd_16",
        "spectrum",
        "colour",
        "mmd_random",
        "kid_imagenet",
        "coverage_imagenet",
        "diversity",
    ):
        assert summary[f"quality/{name}"] == m[name].value
        assert summary[f"quality/{name}_floor"] == m[name].floor
        assert result.intervals[f"quality/{name}_floor_high"] == m[name].floor_high
        low, high = (result.intervals[f"quality/{name}_{end}"] for end in ("low", "high"))
        assert low <= summary[f"quality/{name}"] <= high
    assert "quality/memorisation" in summary
    assert summary["quality/psnr"] == pytest.approx(float(psnr(pictures.reconstructions, test).mean()))
    assert summary["quality/ssim"] == pytest.approx(float(ssim(pictures.reconstructions, test).mean()))
    with torch.no_grad():
        mu, logvar = model.encoder(normalise(test, "tanh_unit"))
    assert result.kl_per_dim == pytest.approx(kl_per_dim(mu, logvar).tolist(), rel=1e-4)
    assert summary["latent/test_kl"] == pytest.approx(sum(result.kl_per_dim), rel=1e-5)
    assert summary["latent/test_active_units"] == int((mu.var(0, correction=0) >= 0.01).sum())


def test_training_shows_in_the_quality_and_the_floor_depends_on_the_tiles_only(
    small: Small, make_tiles: MakeTiles
) -> None:
    config, test, train = small(epochs=8, optim={"lr": 1e-2}), make_tiles(24, seed=2), make_tiles(40)
    trained = rebuilt(config, run(config, make_tiles, None))
    before = build_model(config.model, 0).train()
    weights = {name: value.clone() for name, value in before.state_dict().items()}
    untrained, after = (model_quality(m, test, train, draws=5) for m in (before, trained))
    assert before.training
    assert all(torch.equal(value, weights[name]) for name, value in before.state_dict().items())
    assert after.figures["quality/psnr"] > untrained.figures["quality/psnr"] + 5
    assert after.figures["quality/colour"] < untrained.figures["quality/colour"]
    floors = [name for name in after.figures if name.endswith("_floor")]
    assert len(floors) >= len(METRICS) - 3
    assert [after.figures[n] for n in floors] == [untrained.figures[n] for n in floors]


def test_equal_weights_have_equal_quality_and_the_generator_is_untouched(
    small: Small, make_tiles: MakeTiles
) -> None:
    model, test, train = build_model(small().model, 0), make_tiles(20, seed=2), make_tiles(40)
    torch.manual_seed(3)
    one = model_quality(model, test, train, draws=3)
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))
    assert one == model_quality(model, test, train, draws=3)
    assert all(math.isfinite(value) for value in (one.figures | one.intervals).values())


@pytest.mark.parametrize(
    ("settings", "tiles"),
    [
        ({"quality_draws": 0}, 24),
        ({}, 0),
        ({}, MIN_TILES - 1),
        ({"optim": {"lr": 1e30, "lr_schedule": "constant"}}, 24),
        ({"probe": {"label": "blowup", "horizon": 3}}, 24),
    ],
    ids=["turned off", "no test tiles", "too few", "nonfinite", "a probe"],
)
def test_a_run_without_draws_tiles_or_an_objective_has_no_quality_and_no_error(
    small: Small, make_tiles: MakeTiles, settings: dict[str, Any], tiles: int
) -> None:
    result = run(small(epochs=1, **settings), make_tiles, make_tiles(tiles, seed=2) if tiles else None)
    assert quality_keys(result) == set()
    assert (result.intervals, result.kl_per_dim) == ({}, ())


def test_test_tiles_of_another_size_are_refused(small: Small, make_tiles: MakeTiles) -> None:
    with pytest.raises(ValueError, match="the model wants"):
        run(small(epochs=1), make_tiles, make_tiles(24, size=16))
