"""Everything that a run of ours is and has, of a network of someone else's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io.tiles.loader import BatchLoader
from tests.vae import networks
from tests.vae.conftest import Run
from vae.config import TrainConfig
from vae.loss.likelihoods import build
from vae.model.network import build_model
from vae.quality.likelihood import negative_log_likelihood
from vae.training import checkpoint
from vae.training.fit import fit
from vae.training.foretold import why_not

RunFit = Callable[..., Run]


class KilledError(Exception):
    pass


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    """config(optim={...}, model={...}): three epochs of the network with dropout and batch norm."""

    def made(model: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
        network = networks.model(networks.write(tmp_path), **(model or {}))
        settings = {"epochs": 3, "batch_size": 8, "threads": 1, "device": "cpu", "precision": "float32"}
        objective = {"kl_schedule": "constant", "kl_weight": 0.1}
        common = {"model": network, "objective": objective, "optim": {"lr": 3e-3}, "checkpoint_seconds": 0}
        return TrainConfig.model_validate(common | settings | changes)

    return made


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bfloat16", "memory_format": "channels_last"},
        {"optim": {"lr": 0.3, "guard": "rollback", "skip": "nonfinite"}},
        {"optim": {"lr": 3e-3, "controller": "edge_ratio"}, "curvature_every": 1},
        {"optim": {"clip": "norm", "clip_norm_relative": 0.5, "lr_border_fraction": 0.1, "optimizer": "sgd"}},
    ],
    ids=["plain", "bfloat16", "guard", "edge", "sgd"],
)
def test_a_run_that_was_stopped_in_an_epoch_goes_on_bit_equal(
    config: Callable[..., TrainConfig],
    changes: dict[str, Any],
    run_fit: RunFit,
    assert_same_run: Callable[..., None],
    tmp_path: Path,
) -> None:
    wanted, path = config(model={"weight": 0.5}, **changes), tmp_path / "run.pt"
    with pytest.raises(KilledError):
        run_fit(wanted, path, KilledError(), ("step", 7))
    assert_same_run(run_fit(wanted), run_fit(wanted, path), from_epoch=1)


def test_what_it_adds_to_the_loss_is_in_the_objective_and_recorded_by_name(
    config: Callable[..., TrainConfig], run_fit: RunFit
) -> None:
    _, watcher = run_fit(config(model={"weight": 0.5}))
    for step in watcher.steps:
        added = step["loss"] - step["recon_loss"] - 0.1 * step["kl"]
        assert added == pytest.approx(step["extra_edges"], rel=1e-3)
    last = watcher.epochs[-1]
    assert last["train/extra_edges"] > 0
    assert last["val/objective"] == pytest.approx(
        last["val/recon_loss"] + 0.1 * last["val/kl"] + last["val/extra"], rel=1e-5
    )


def test_it_learns_and_its_quality_and_likelihood_are_measured(
    config: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor], tmp_path: Path
) -> None:
    wanted = config(epochs=6, quality_draws=4)
    loader = BatchLoader(make_tiles(40), 8, 0, flip=True, rotate=True)
    found = fit(wanted, loader, make_tiles(12, seed=1), test=make_tiles(20, seed=2))
    assert found.outcome == "budget"
    assert found.objective == pytest.approx(
        found.summary["val/best_recon_loss"] + 0.1 * found.summary["val/best_kl"]
    )
    assert {
        "quality/kid_imagenet",
        "quality/psnr",
        "latent/test_kl",
        "stability/max_logvar",
    } <= found.summary.keys()
    assert len(found.kl_per_dim) == 2 * 8 * 8
    assert 0 < found.summary["latent/active_units"] <= 2 * 8 * 8

    path = tmp_path / "model.pt"
    checkpoint.save(path, {"weights": found.weights})  # loaded with weights_only
    model = build_model(wanted.model, seed=5)
    model.load_state_dict(checkpoint.load(path)["weights"])
    nll = negative_log_likelihood(model, build(wanted.objective), wanted.objective, make_tiles(3), samples=4)
    assert nll.nats.isfinite().all()


def test_frozen_weights_stay_and_unused_ones_do_no_harm(
    config: Callable[..., TrainConfig], run_fit: RunFit
) -> None:
    wanted = config(optim={"lr": 3e-3, "weight_decay": 0.1, "optimizer": "adamw"})
    before = build_model(wanted.model, wanted.seed).state_dict()
    after = run_fit(wanted).result.weights
    for name in ("network.stem.weight", "network.unused.weight"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["network.down.0.weight"], after["network.down.0.weight"])


def test_what_needs_its_latent_head_says_so(config: Callable[..., TrainConfig], run_fit: RunFit) -> None:
    assert run_fit(config(epochs=1)).watcher.infos[0].head_fan_in is None
    assert "mine.py:Net is not known" in str(why_not(config()))
