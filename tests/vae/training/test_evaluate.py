"""The validation objective against sums written out; evaluating does not change the model."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from vae.config import TrainConfig
from vae.loss.loss import Loss
from vae.model import pixels
from vae.model.latent import fixed_noise
from vae.model.network import VAE, build_model
from vae.training.evaluate import Evaluation, evaluate

CPU = torch.device("cpu")


@pytest.fixture
def model(small: Callable[..., TrainConfig], make_tiles: Callable[..., Tensor]) -> VAE:
    """A model with running statistics that differ from their initial values."""
    model = build_model(small().model, 0)
    with torch.no_grad():
        model(make_tiles(20) / 127.5 - 1, torch.randn(20, 6))
    return model


def test_an_evaluation_is_the_mean_over_images_in_any_number_of_batches(
    model: VAE, make_tiles: Callable[..., Tensor]
) -> None:
    tiles, noise = make_tiles(150), fixed_noise(150, 6, CPU)
    got = evaluate(model, tiles, noise, Loss())
    model.eval()
    recon_loss = kl = psnr = 0.0
    mus = []
    with torch.no_grad():
        for i in range(150):
            x = tiles[i : i + 1].double() / 127.5 - 1
            output = model(x.float(), noise[i : i + 1])
            recon, mu, logvar = output.recon.double(), output.mu.double(), output.logvar.double()
            recon_loss += float(((recon - x) ** 2).sum())
            kl += float((mu**2 + logvar.exp() - 1 - logvar).sum()) / 2
            psnr += 10 * math.log10(1 / float((((recon - x) / 2) ** 2).mean()))
            mus.append(mu)
    variance = torch.cat(mus).var(0, correction=0)
    assert got.recon_loss == pytest.approx(recon_loss / 150, rel=1e-4)
    assert got.kl == pytest.approx(kl / 150, rel=1e-4)
    assert got.psnr == pytest.approx(psnr / 150, rel=1e-4)
    assert got.active_units == int((variance >= 0.01).sum())


@pytest.mark.parametrize("active", [0, 2, 6])
def test_active_units_are_the_dimensions_whose_mean_depends_on_the_image(
    model: VAE, make_tiles: Callable[..., Tensor], active: int
) -> None:
    with torch.no_grad():
        model.encoder.fc_mu.weight *= 100
        model.encoder.fc_mu.weight[active:] = 0
        model.encoder.fc_mu.bias += 5
    assert evaluate(model, make_tiles(30), fixed_noise(30, 6, CPU), Loss()).active_units == active


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_touches_neither_statistics_nor_mode_nor_gradients(
    model: VAE, make_tiles: Callable[..., Tensor], training: bool
) -> None:
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, make_tiles(30), fixed_noise(30, 6, CPU), Loss())
    assert model.training is training
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_evaluation_does_not_depend_on_the_mode_before_it(
    model: VAE, make_tiles: Callable[..., Tensor]
) -> None:
    tiles, noise = make_tiles(30), fixed_noise(30, 6, CPU)
    training = evaluate(model.train(), tiles, noise, Loss())
    assert training == evaluate(model.eval(), tiles, noise, Loss())


def test_evaluation_noise_is_the_same_every_time_and_leaves_the_global_generator_untouched() -> None:
    before = torch.get_rng_state()
    one = fixed_noise(5, 3, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(fixed_noise(5, 3, CPU), one)


def test_the_objective_weighs_the_kl_and_knows_when_it_is_not_finite() -> None:
    assert Evaluation(3.0, 2.0, 10.0, 1).objective(10) == 23
    assert Evaluation(3.0, 2.0, 10.0, 1).is_finite()
    assert not Evaluation(math.nan, 2.0, 10.0, 1).is_finite()
    assert not Evaluation(3.0, math.inf, 10.0, 1).is_finite()


class NoTransfers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses an operation that leads from one device to another."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        devices = {part.device.type for part in (*args, found) if isinstance(part, Tensor) and part.ndim}
        assert devices <= {"cuda"}, f"{func} is on {devices}"
        return found


@pytest.mark.parametrize("output_range", ["tanh_unit", "imagenet_linear"])
def test_the_host_waits_for_an_evaluation_once_at_its_end(
    small: Callable[..., TrainConfig], output_range: str
) -> None:
    config = small(model={"output_range": output_range})
    model, loss = build_model(config.model, 0), Loss(config.objective)
    # A device whose tensors have no values: to read one raises.
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in model.modules():
            for name, value in module._parameters.items():
                module._parameters[name] = None if value is None else nn.Parameter(value.to("cuda"))
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.to("cuda")
        tiles = torch.zeros(200, 3, 32, 32, dtype=torch.uint8, device="cuda")
        noise = torch.zeros(200, model.latent_dim, device="cuda")
        pixels._scale(output_range, tiles.device)
        try:
            with NoTransfers(), pytest.raises(DataDependentOutputException) as raised:
                evaluate(model, tiles, noise, loss)
        finally:
            pixels._scale.cache_clear()
    (here,) = (entry for entry in raised.traceback if entry.path.name == "evaluate.py")
    assert "tolist()" in str(here.statement)
