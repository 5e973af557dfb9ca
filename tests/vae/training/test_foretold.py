"""The border of non-finite training, foretold at initialisation and held against runs."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from data_io import DataConfig, prepare
from data_io.tiles.loader import BatchLoader
from vae.config import TrainConfig
from vae.model.layout import head_fan_in
from vae.training.foretold import foretell
from vae.training.hardware import resolve
from vae.training.state import TrainState

Small = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainConfig], BatchLoader]:
    """Real tiles: made-up ones as smooth as those of other tests break at far lower rates."""
    tiles = prepare(DataConfig(tile_size=32, stride=64), tmp_path_factory.mktemp("tiles")).train
    return lambda config: BatchLoader(tiles, config.batch_size, config.seed, flip=True, rotate=True)


def config_of(small: Small, halvings: int, width: int, **optim: Any) -> TrainConfig:
    model = {"encoder_depth": 3, "decoder_depth": 3, "max_downsamples": halvings, "base_channels": width}
    return small(epochs=40, model=model, optim={"lr_schedule": "constant", **optim}, batch_size=32)


def breaks(config: TrainConfig, source: BatchLoader, lr: float) -> bool:
    config = config.model_copy(update={"optim": config.optim.model_copy(update={"lr": lr})})
    state = TrainState(resolve(config), source, None)
    while state.step < 60:
        for batch in source.epoch():
            state.advance(batch, min(1.0, state.step / 450))  # as its KL weight comes up in a run
            if state.monitor.nonfinite_step is not None:
                return True
    return False


@pytest.mark.parametrize(("halvings", "width"), [(1, 8), (2, 8), (3, 8), (2, 32)])
@pytest.mark.parametrize("head_scale", ["none", "mup"])
def test_runs_break_above_what_is_foretold_and_not_below(
    small: Small, train: Callable[..., BatchLoader], halvings: int, width: int, head_scale: str
) -> None:
    config = config_of(small, halvings, width, head_scale=head_scale)
    found = foretell(config, train(config)).borders["nonfinite"]
    assert found.low < found.lr < found.high
    assert breaks(config, train(config), found.lr * 10**0.6)
    assert not breaks(config, train(config), found.lr / 10**0.6)


def test_it_falls_as_the_fan_in_grows_and_not_where_the_heads_rate_does(
    small: Small, train: Callable[..., BatchLoader]
) -> None:
    for head_scale, slope in (("none", -1.0), ("mup", 0.0)):
        narrow, wide = (config_of(small, halvings, 8, head_scale=head_scale) for halvings in (3, 1))
        fan_ins = math.log10(head_fan_in(wide.model) / head_fan_in(narrow.model))
        moved = math.log10(foretell(narrow, train(narrow)).speed / foretell(wide, train(wide)).speed)
        assert moved / fan_ins == pytest.approx(slope, abs=0.35)


def test_it_is_the_same_again_and_leaves_no_trace(small: Small, train: Callable[..., BatchLoader]) -> None:
    config = config_of(small, 2, 8)
    source = train(config)
    before = source.state_dict()
    generator = torch.random.get_rng_state()
    assert foretell(config, source) == foretell(config, source)
    assert repr(source.state_dict()) == repr(before)
    assert torch.equal(torch.random.get_rng_state(), generator)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"optim": {"optimizer": "sgd"}}, r"under optim\.optimizer=sgd steps grow"),
        ({"optim": {"optimizer": "prodigy"}}, r"under optim\.optimizer=prodigy steps grow"),
        ({"model": {"norm": "none"}}, r"with model\.norm=none"),
        ({"model": {"logvar_bound": "soft"}}, r"with model\.logvar_bound=soft"),
        ({"objective": {"kl_weight": 0.0}}, r"with objective\.kl_weight=0"),
    ],
    ids=str,
)
def test_where_the_law_does_not_hold_it_is_refused(
    small: Small, train: Callable[..., BatchLoader], changes: dict[str, Any], reason: str
) -> None:
    config = small(**changes)
    with pytest.raises(ValueError, match=reason + ".*, so the border is not foretold"):
        foretell(config, train(config))
