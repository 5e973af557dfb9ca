"""The networks in `examples/networks` train, each with what it is there to show."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from data_io import BatchLoader
from tests.conftest import ROOT, run_here
from tests.sweep.processes import kill_tree, wait_until
from tests.vae.conftest import Watcher, smooth_tiles
from vae.config import TrainConfig
from vae.model.network import build_model
from vae.model.theirs import Theirs, check_network
from vae.training.fit import fit

NETWORKS = ROOT / "examples" / "networks"


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


def trained(kind: str, **fields: Any) -> tuple[Theirs, Watcher]:
    """After two epochs of five steps; it is checked first, as every run does."""
    model = {"kind": str(NETWORKS / kind), "image_size": 32} | fields
    config = TrainConfig.model_validate({"model": model, "epochs": 2, "batch_size": 8, "threads": 1})
    check_network(config.model)
    loader, watcher = BatchLoader(smooth_tiles(40), 8, 0, flip=True, rotate=True), Watcher(None, None)
    found = fit(config, loader, smooth_tiles(8, seed=1), watcher)
    assert found.outcome != "nonfinite"
    losses = [step["loss"] for step in watcher.steps]
    assert losses[-1] < losses[0]
    network = build_model(config.model, 0)
    network.load_state_dict(found.weights)
    assert isinstance(network, Theirs)
    return network, watcher


def test_residual_has_a_grid_of_latents() -> None:
    network, _ = trained("residual.py:ResidualVAE", channels=8, latent_channels=3)
    assert network.latent_shape == (3, 8, 8)


def test_perceptual_charges_for_features_and_holds_no_weights_of_them() -> None:
    network, watcher = trained("perceptual.py:PerceptualVAE", base_channels=4, latent_dim=4)
    assert watcher.steps[-1]["extra_perceptual"] < watcher.steps[0]["extra_perceptual"]
    assert all(name.startswith("network.vae.") for name in network.state_dict())


def test_perceptual_gradients_reach_the_images() -> None:
    from vae.quality.metrics._imagenet import embed, feature_maps

    images = smooth_tiles(2, size=128)
    x = (images.float() - 127) / 128
    x.requires_grad_()
    maps = feature_maps(x, 3)
    maps[-1].square().sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert bool(x.grad.any())
    assert embed(images).shape == (2, 1280)
    assert [tuple(found.shape[2:]) for found in maps] == [(64, 64), (64, 64), (32, 32)]


@needs("pythae")
@pytest.mark.parametrize(("networks", "size"), [("mlp", 32), ("cifar", 32), ("celeba", 64)])
def test_pythae_networks_are_adapted(networks: str, size: int) -> None:
    if networks == "mlp":
        network, _ = trained("pythae_vae.py:PythaeVAE", latent_dim=4)
        assert network.latent_shape == (4,)
        return
    model = {"kind": str(NETWORKS / "pythae_vae.py:PythaeVAE"), "image_size": size, "networks": networks}
    check_network(TrainConfig.model_validate({"model": model}).model)


@pytest.mark.slow
@needs("diffusers")
def test_autoencoder_kl_encodes_as_diffusers_does() -> None:
    network, _ = trained("autoencoder_kl.py:KLAutoencoder", width=8)
    assert network.latent_shape == (4, 8, 8)
    x = 2 * torch.rand(2, 3, 32, 32) - 1
    theirs = network.network.network.encode(x).latent_dist
    mu, logvar = network.encode(x)
    torch.testing.assert_close(mu, theirs.mean.flatten(1))
    torch.testing.assert_close(logvar, theirs.logvar.flatten(1))


@pytest.mark.slow
@needs("diffusers")
def test_autoencoder_kl_goes_on_after_sigkill_as_if_nothing_had_happened(tmp_path: Path) -> None:
    home, kind = tmp_path / "home", NETWORKS / "autoencoder_kl.py:KLAutoencoder"
    settings = (f"model.kind={kind}", "model.width=8", "checkpoint_seconds=0", "quality_draws=0")
    words = ["train", "--scale", "smoke", *(word for each in settings for word in ("--set", each))]
    with subprocess.Popen(
        [sys.executable, "-m", "sweep", *words],
        env={**os.environ, "SWEEP_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: list(home.glob("checkpoints/train/*/state.pt")))
        kill_tree(process.pid)
    said = run_here(*words, home=home)
    assert said.returncode == 0, said.stderr
    trials = json.loads(run_here("export", "train", "--format", "json", home=home).stdout)
    resumed = max(trial["trial"] for trial in trials)
    replayed = run_here("replay", "train", str(resumed), home=home)
    assert "0 metrics differ" in replayed.stdout + replayed.stderr, replayed


@pytest.mark.parametrize("path", sorted(NETWORKS.glob("*.py")), ids=lambda path: path.stem)
def test_a_network_fits_on_a_page_and_names_its_own_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert f"--set model.kind=examples/networks/{path.name}:" in text
