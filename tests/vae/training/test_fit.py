"""Whole runs: the same settings give the same weights, and each way to end has its outcome."""

import math
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.loss.loss import Loss
from vae.model.latent import fixed_noise
from vae.model.network import VAE, build_model
from vae.stability.monitor import Outcome
from vae.training.evaluate import Evaluation, evaluate
from vae.training.fit import fit
from vae.training.hardware import resolve

Small = Callable[..., TrainConfig]
RunFit = Callable[..., Any]
Scripted = Callable[..., list[dict[str, Tensor]]]


class InterruptedRunError(Exception):
    pass


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """scripted([3.0, 2.0], kl=0): each epoch's validation finds this recon_loss, later ones the last.

    Returns the list of weights that the validations saw.
    """

    def script(recon_losses: list[float], kl: float = 0.0) -> list[dict[str, Tensor]]:
        seen: list[dict[str, Tensor]] = []

        def found(model: VAE, tiles: Tensor, noise: Tensor, *_: object) -> Evaluation:
            seen.append({name: value.clone() for name, value in model.state_dict().items()})
            return Evaluation(recon_losses[min(len(seen), len(recon_losses)) - 1], kl, 10.0, 3)

        monkeypatch.setattr("vae.training.fit.evaluate", found)
        return seen

    return script


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_same_config_gives_bit_equal_runs_and_another_seed_another(
    small: Small,
    run_fit: RunFit,
    assert_same_run: Callable[..., None],
    precision: str,
    memory_format: str,
) -> None:
    settings = {"precision": precision, "memory_format": memory_format, "epochs": 2}
    one = run_fit(small(**settings))
    torch.rand(7)
    before = torch.get_rng_state()
    assert_same_run(one, run_fit(small(**settings)))
    assert torch.equal(torch.get_rng_state(), before), "the global generator is not the run's"
    assert not same(one.result.weights, run_fit(small(**settings, seed=1)).result.weights)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_is_the_same_run_in_other_kernels(small: Small, run_fit: RunFit) -> None:
    settings = {"epochs": 2, "curvature_every": 1, "precision": "float32"}
    plain, compiled = (run_fit(small(**settings, compile=mode)) for mode in ("none", "default"))
    for one, other in zip(plain[1].steps, compiled[1].steps, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-2)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=0.05)
    # The edge is differentiated twice, which what is compiled cannot be.
    for one, other in zip(plain[1].epochs, compiled[1].epochs, strict=True):
        assert other["stability/edge_ratio"] == pytest.approx(one["stability/edge_ratio"], rel=0.1)


def test_the_loss_falls_on_tiles_that_can_be_learnt(small: Small, run_fit: RunFit) -> None:
    result, watcher = run_fit(small(epochs=8, optim={"lr": 1e-2}))
    first = watcher.steps[0]["loss"]
    assert watcher.epochs[-1]["train/loss"] < 0.2 * first
    assert watcher.epochs[-1]["val/objective"] < 0.2 * first
    assert result.outcome is Outcome.BUDGET
    assert result.objective == min(record["val/objective"] for record in watcher.epochs)


@pytest.mark.parametrize("lr", [1e3, 1e30])
def test_a_huge_learning_rate_is_an_unstable_result_and_no_error(
    small: Small, run_fit: RunFit, lr: float
) -> None:
    result, _ = run_fit(small(epochs=5, optim={"lr": lr, "lr_schedule": "constant"}))
    assert result.outcome.unstable
    assert result.outcome.objective_is_infinite
    assert result.objective == math.inf
    assert result.outcome_step is not None


class InOrder:
    """Batches of 8 in the tiles' own order, the same in every epoch."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images) // 8

    def epoch(self) -> Iterator[Tensor]:
        yield from torch.split(self.images, 8)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_a_run_that_gets_no_better_than_its_first_loss_diverged(small: Small) -> None:
    tiles = torch.full((40, 3, 32, 32), 127, dtype=torch.uint8)
    tiles[8:] = 0  # far from what an untrained decoder draws
    result = fit(small(epochs=1, optim={"lr": 1e-12}), InOrder(tiles), tiles[:4])
    assert (result.outcome, result.objective, result.outcome_step) == (Outcome.DIVERGED, math.inf, 4)
    assert result.last_finite_loss is not None
    assert (
        fit(small(epochs=1, optim={"lr": 1e-12}), InOrder(tiles.flip(0)), tiles[:4]).outcome.unstable is False
    )


def test_a_run_ends_at_its_first_step_that_is_not_finite(small: Small, run_fit: RunFit) -> None:
    result, watcher = run_fit(small(epochs=5, optim={"lr": 1e30, "lr_schedule": "constant"}))
    assert result.outcome is Outcome.NONFINITE
    finite = [math.isfinite(r["loss"]) and math.isfinite(r["grad_norm"]) for r in watcher.steps]
    assert finite.index(False) == len(finite) - 1 == result.outcome_step
    assert result.steps == len(finite)
    assert result.last_finite_loss == watcher.steps[-2]["loss"]


def test_a_validation_that_is_not_finite_makes_a_run_nonfinite(
    small: Small, run_fit: RunFit, scripted: Scripted
) -> None:
    scripted([5.0, math.nan, 1.0])
    result, watcher = run_fit(small(epochs=5))
    assert (result.outcome, result.objective, result.epochs) == (Outcome.NONFINITE, math.inf, 2)
    assert result.outcome_step == len(watcher.steps) - 1


@pytest.mark.parametrize("at", [("start", 0), ("pictures", 0), ("step", 3), ("epoch", 1), ("pictures", 10)])
def test_an_exception_of_a_hook_ends_the_run_with_it(
    small: Small, run_fit: RunFit, at: tuple[str, int]
) -> None:
    error = InterruptedRunError("enough")
    with pytest.raises(InterruptedRunError) as raised:
        run_fit(small(epochs=2, picture_every=1), error=error, at=at)
    assert raised.value is error


def test_hooks_are_called_in_order(small: Small, run_fit: RunFit) -> None:
    result, watcher = run_fit(small(epochs=5, picture_every=2))
    epoch = ["step"] * 5 + ["epoch"]
    pictures = ["pictures"]
    expected = ["start", *pictures, *epoch * 2, *pictures, *epoch * 2, *pictures, *epoch, *pictures]
    assert watcher.calls == expected
    assert [step for step, _ in watcher.pictures] == [0, 10, 20, 25]
    assert [record["step"] for record in watcher.steps] == list(range(25))
    assert [record["epoch"] for record in watcher.steps] == [e for e in range(5) for _ in range(5)]
    assert [record["step"] for record in watcher.epochs] == [4, 9, 14, 19, 24]
    assert (result.steps, result.epochs) == (25, 5)


def test_a_run_reports_its_facts_before_its_first_step(small: Small, run_fit: RunFit) -> None:
    config = small(epochs=1, optim={"clip": "norm", "clip_norm": 7.0})
    (info,) = run_fit(config).watcher.infos
    model = build_model(config.model, 0)
    assert info.config == resolve(config)
    assert info.parameter_count == sum(p.numel() for p in model.parameters())
    assert info.head_fan_in == model.encoder.fc_mu.in_features
    assert (info.clip_norm, info.probe_grad_norm) == (7.0, None)
    assert info.steps_per_epoch == 5
    assert info.unreachable_pixel_fraction == 0


def test_an_epochs_record_holds_the_means_of_its_steps_and_a_validation_at_the_final_weight(
    small: Small, run_fit: RunFit
) -> None:
    objective = {"kl_schedule": "linear", "kl_warmup_fraction": 0.9, "kl_weight": 3.0}
    _, watcher = run_fit(small(objective=objective))
    for record in watcher.epochs:
        steps = [step for step in watcher.steps if step["epoch"] == record["epoch"]]
        for name in ("loss", "recon_loss", "kl"):
            mean = sum(step[name] for step in steps) / len(steps)
            assert record[f"train/{name}"] == pytest.approx(mean)
        assert record["val/objective"] == pytest.approx(record["val/recon_loss"] + 3 * record["val/kl"])


def test_the_returned_weights_are_those_that_the_result_was_measured_with(
    small: Small, run_fit: RunFit, make_tiles: Callable[..., Tensor]
) -> None:
    config = small()
    result, watcher = run_fit(config)
    model = build_model(config.model, 99)
    model.load_state_dict(result.weights)
    found = evaluate(model, make_tiles(12, seed=1), fixed_noise(12, 6, torch.device("cpu")), Loss())
    assert found.objective(config.objective.kl_weight) == pytest.approx(result.objective, rel=1e-6)
    assert result.summary["val/best_psnr"] == pytest.approx(found.psnr, rel=1e-6)
    assert result.summary["latent/active_units"] == found.active_units
    assert result.objective == watcher.epochs[result.best_epoch]["val/objective"]


def test_the_best_epoch_is_selected_with_its_own_weights(
    small: Small, run_fit: RunFit, scripted: Scripted
) -> None:
    seen = scripted([5.0, 2.0, 3.0, 2.0, 4.0])
    result, _ = run_fit(small(epochs=5))
    assert (result.best_epoch, result.objective) == (1, 2.0)
    assert same(result.weights, seen[1])
    assert not same(result.weights, seen[4])
    assert same(result.weights, seen[5]), "the last evaluation is of the selected weights"


def test_epochs_of_the_kl_warm_up_are_neither_selected_nor_counted(
    small: Small, run_fit: RunFit, scripted: Scripted
) -> None:
    # 30 steps, the weight is final from step 15 on: the epochs that end at 5 and 10 do not count.
    scripted([1.0, 2.0, 9.0, 8.0, 8.5, 8.7], kl=2.0)
    objective = {"kl_schedule": "linear", "kl_warmup_fraction": 0.5, "kl_weight": 10.0}
    result, watcher = run_fit(small(epochs=6, objective=objective, early_stopping_patience=2))
    assert [step["kl_weight"] for step in watcher.steps].index(10.0) == 15
    assert (result.best_epoch, result.objective) == (3, 28.0)
    assert (result.outcome, result.epochs) == (Outcome.CONVERGED, 6)


def test_a_warm_up_into_the_last_epoch_leaves_that_one_to_select(
    small: Small, run_fit: RunFit, scripted: Scripted
) -> None:
    scripted([1.0, 9.0])
    objective = {"kl_schedule": "linear", "kl_warmup_fraction": 0.9}
    result, _ = run_fit(small(epochs=2, objective=objective))
    assert (result.best_epoch, result.objective) == (1, 9.0)


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 8), (0, 8)])
def test_early_stopping_ends_a_run_after_patience_epochs_without_a_better_one(
    small: Small, run_fit: RunFit, scripted: Scripted, patience: int, epochs: int
) -> None:
    scripted([5.0, 4.0, 4.0, 4.5, 3.0, 3.5, 3.5, 2.9])
    result, _ = run_fit(small(epochs=8, early_stopping_patience=patience))
    assert result.epochs == epochs
    assert result.outcome is (Outcome.CONVERGED if epochs < 8 else Outcome.BUDGET)


def test_weights_that_no_longer_change_stop_a_run_early(small: Small, run_fit: RunFit) -> None:
    # Learns for three epochs; then its steps are too small to change a float32.
    optim = {"lr": 6e-3, "lr_schedule": "step", "lr_step_fraction": 0.25, "lr_gamma": 1e-12}
    config = small(epochs=12, model={"norm": "none"}, optim=optim, early_stopping_patience=1)
    result, watcher = run_fit(config)
    assert result.outcome is Outcome.CONVERGED
    assert result.best_epoch == 2
    assert result.epochs == 4
    assert watcher.epochs[3]["val/objective"] == watcher.epochs[2]["val/objective"]


def test_a_run_without_active_units_is_collapsed(small: Small, run_fit: RunFit) -> None:
    result, _ = run_fit(small(epochs=6, objective={"kl_weight": 1e4}))
    assert result.outcome is Outcome.COLLAPSED
    assert result.summary["latent/active_units"] == 0
    assert math.isfinite(result.objective)


def test_the_summary_repeats_the_last_epochs_stability(small: Small, run_fit: RunFit) -> None:
    result, watcher = run_fit(small(epochs=6, optim={"clip": "norm", "clip_norm": 500.0}))
    for name, value in result.summary.items():
        if name.startswith("stability/"):
            assert value == pytest.approx(watcher.epochs[-1][name], nan_ok=True)
    acted = [step["grad_norm"] > 500.0 for step in watcher.steps]
    assert [bool(step["clipped"]) for step in watcher.steps] == acted
    assert 0 < sum(acted) < len(acted)
    assert result.summary["stability/clip_fraction"] == pytest.approx(sum(acted) / len(acted))
    assert result.summary["stability/max_logvar"] == max(step["max_logvar"] for step in watcher.steps)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("size", [16, 64])
def test_tiles_of_another_size_are_refused_with_both_sizes(
    small: Small, make_tiles: Callable[..., Tensor], split: str, size: int
) -> None:
    tiles = {"train": make_tiles(16), "validation": make_tiles(4)}
    tiles[split] = make_tiles(16, size=size)
    with pytest.raises(ValueError, match=rf"tiles are \(3, {size}, {size}\), the model wants \(3, 32, 32\)"):
        fit(small(), BatchLoader(tiles["train"], 8, 0), tiles["validation"])
