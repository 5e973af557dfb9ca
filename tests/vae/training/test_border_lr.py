"""The unit of a relative learning rate: the border of blowing up, found by short runs before the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io import BatchLoader
from vae.config import TrainConfig
from vae.training.border_lr import PROBE_STEPS, find_border_lr
from vae.training.hardware import resolve

Small = Callable[..., TrainConfig]
SGD = {"optimizer": "sgd", "clip": "norm", "clip_norm": 1.0, "lr_schedule": "constant"}
LONG = {"epochs": 400}
"""With five steps per epoch a search of 200 steps is within its budget."""


@pytest.mark.parametrize(
    "optim", [SGD, {"optimizer": "sgd"}, {"optimizer": "adam"}], ids=["clipped", "sgd", "adam"]
)
def test_the_lr_is_stable_and_ten_times_it_is_not(
    small: Small, make_tiles: Callable[..., Tensor], run_fit: Callable[..., Any], optim: dict[str, Any]
) -> None:
    plain = {"objective": {"kl_schedule": "constant"}}
    config = resolve(small(optim=optim, **LONG, **plain))
    source = BatchLoader(make_tiles(40), config.batch_size, config.seed, flip=True, rotate=True)
    found = find_border_lr(config, source, 1.0)

    def blows_up(lr: float) -> bool:
        probe = {"label": "blowup", "horizon": PROBE_STEPS}
        at = optim | {"lr": lr, "lr_schedule": "constant"}
        step = run_fit(small(epochs=2, optim=at, probe=probe, **plain)).result.observation.blowup_step
        return step is not None

    assert not blows_up(found.lr)
    assert blows_up(10 * found.lr)


def test_the_search_stays_within_a_tenth_of_the_run_if_it_can(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    def found(epochs: int) -> Any:
        config = resolve(small(optim=SGD, epochs=epochs))
        return find_border_lr(config, BatchLoader(make_tiles(40), config.batch_size, 0), 1.0)

    exact, short = found(400), found(1)
    assert exact.steps <= 0.1 * 400 * 5
    # Without a budget it stops at the first stable learning rate, which every search must find.
    assert short.steps < exact.steps
    assert exact.lr / short.lr in (
        1.0,
        pytest.approx(10**0.25),
        pytest.approx(10**0.5),
        pytest.approx(10**0.75),
    )


def test_the_search_restores_the_position_in_the_data(
    small: Small, make_tiles: Callable[..., Tensor]
) -> None:
    config = resolve(small(optim=SGD))
    searched, fresh = (BatchLoader(make_tiles(40), 8, 0, flip=True) for _ in range(2))
    find_border_lr(config, searched, 1.0)
    for _ in range(2):
        for a, b in zip(searched.epoch(), fresh.epoch(), strict=True):
            assert torch.equal(a, b)


def test_a_bound_on_the_logvar_does_not_move_it(small: Small, make_tiles: Callable[..., Tensor]) -> None:
    def found(bound: str) -> Any:
        config = small(optim={"optimizer": "adam"}, **LONG)
        model = config.model.model_copy(update={"logvar_bound": bound})
        config = resolve(config.model_copy(update={"model": model}))
        return find_border_lr(config, BatchLoader(make_tiles(40), config.batch_size, 0), None)

    assert found("soft") == found("none")


def test_a_run_trains_at_its_share_of_the_border_and_resumes_without_another_search(
    small: Small,
    run_fit: Callable[..., Any],
    tmp_path: Path,
    assert_same_run: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = small(epochs=3, optim=SGD | {"lr_border_fraction": 0.1})
    whole = run_fit(config)
    (info,) = whole.watcher.infos
    assert {step["lr"] for step in whole.watcher.steps} == {0.1 * info.border.lr}
    path = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        run_fit(config, path, error=KeyboardInterrupt(), at=("step", 12))

    def never(*_: object) -> Any:
        raise AssertionError("searched again")

    monkeypatch.setattr("vae.training.fit.find_border_lr", never)
    assert_same_run(whole, run_fit(config, path), from_epoch=2)


def test_if_no_lr_is_stable_it_is_an_error(small: Small, make_tiles: Callable[..., Tensor]) -> None:
    config = resolve(small(objective={"kl_weight": 1e300}, optim=SGD))
    with pytest.raises(ArithmeticError, match=r"no learning rate from 10 to 1e-07 is stable"):
        find_border_lr(config, BatchLoader(make_tiles(40), 8, 0), 1.0)
