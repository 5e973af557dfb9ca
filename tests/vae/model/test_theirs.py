"""A network of someone else's as an `Autoencoder`, and what is found wrong with one before it trains."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.vae import networks
from vae.model.network import build_model
from vae.model.pixels import normalise
from vae.model.theirs import Theirs, check_network
from vae.model_config import network_config


def made(folder: Path, seed: int = 0, **fields: object) -> Theirs:
    model = build_model(network_config(networks.model(networks.write(folder), **fields)), seed)
    assert isinstance(model, Theirs)
    return model


def test_latents_of_any_shape_are_vectors_outside(tmp_path: Path, make_tiles: Callable[..., Tensor]) -> None:
    model = made(tmp_path, logvar_bound="soft").eval()
    x, noise = normalise(make_tiles(3), "tanh_unit"), torch.randn(3, model.latent_dim)
    assert model.latent_dim == 2 * 8 * 8
    output = model(x, noise)
    mu, raw = model.network.encode(x)
    z = mu + (5 * torch.tanh(raw / 10)).exp() * noise.view(3, 2, 8, 8)
    torch.testing.assert_close(output.recon, model.network.decode(z))
    assert torch.equal(output.raw_logvar, raw.flatten(1))


def test_the_weights_come_from_the_seed_and_nothing_else_is_drawn_from(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    one, same, other = made(tmp_path), made(tmp_path), made(tmp_path, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_dropout_is_drawn_anew_at_each_step_and_the_same_at_the_same(
    tmp_path: Path, make_tiles: Callable[..., Tensor]
) -> None:
    model = made(tmp_path, dropout=0.5)
    x, noise = normalise(make_tiles(3), "tanh_unit"), torch.zeros(3, model.latent_dim)
    before = torch.random.get_rng_state()
    drawn = []
    for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
        model.at_step(seed, step)
        drawn.append(model(x, noise).mu)
    assert torch.equal(drawn[0], drawn[3])
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:3])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_whole_network_passes_the_check(tmp_path: Path) -> None:
    check_network(network_config(networks.model(networks.write(tmp_path), weight=1.0)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return mu, logvar", "return mu", "encode gives .* it must return mu and the log-variance"),
        ("return mu, logvar", "return mu, logvar[:1]", r"both must be \(2, \.\.\.\), of one shape"),
        ("return mu, logvar", "return mu.mean(), logvar.mean()", r"both must be \(2, \.\.\.\)"),
        ("return self.up(z)", "return self.up(z)[..., 1:]", r"decode gives \(2, 3, 32, 31\) for .*one shape"),
        ("return self.up(z)", "return self.up(z.flatten(1))", r"decode of latents \(2, 2, 8, 8\) fails"),
        ("return self.up(z)", "return {'images': self.up(z)}", "decode gives dict"),
        ("return self.up(z)", "return self.up(z).log() * 0", "decode gives values that are not finite"),
        ("return self.up(z)", "return self.up(z).detach()", ""),  # the encoder can still be trained
        (
            "super().__init__()",
            "raise RuntimeError('no\\nluck')",
            r"constructor fails \(RuntimeError: luck\)",
        ),
        ("class Net(nn.Module)", "class Net", "super|no torch.nn.Module|constructor fails"),
        (".flatten(1).sum(1).mean()}", "}", "extra_loss gives .* scalar tensor"),
    ],
)
def test_what_is_wrong_with_a_network_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in networks.GOOD
    config = network_config(networks.model(networks.write(tmp_path, networks.GOOD.replace(old, new))))
    if not said:
        check_network(config)
        return
    with pytest.raises(ValueError, match=said) as caught:
        check_network(config)
    assert str(caught.value).startswith("model.kind=mine.py:Net: ")
    assert "\n" not in str(caught.value)
