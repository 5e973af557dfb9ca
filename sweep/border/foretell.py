"""Where the border of a study's settings is, without a probe: foretold at initialisation."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from data_io.tiles.loader import BatchLoader
from data_io.tiles.tileset import TileSet
from sweep.study import Plan
from sweep.study.config import TrialConfig, with_settings
from vae.config import ModelConfig
from vae.model.layout import head_fan_in
from vae.training.foretold import Foretold, foretell


@dataclass(frozen=True)
class Row:
    """name: of the arm or of the map's column. fan_in: of the latent head."""

    name: str
    fan_in: int
    foretold: Foretold

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "head_fan_in": self.fan_in, **asdict(self.foretold)}


def foretold(plan: Plan, tiles: TileSet) -> Iterator[Row]:
    """Of every arm, or of every column of a border study, in the plan's base with what it sets itself.

    Raises:
        ValueError: it cannot be foretold of one of them (`vae.training.foretold.why_not`).
    """
    for name, settings in _places(plan):
        config = with_settings(plan.base, settings)
        border = foretell(config, _loader(tiles, config))
        assert isinstance(config.model, ModelConfig)  # of others it is not foretold
        yield Row(name, head_fan_in(config.model), border)


def _places(plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if plan.border is not None:
        plane = plan.border.plane
        for column in plane.columns:
            yield plane.name(column), plane.settings(column)
        return
    for arm in plan.arms:
        if arm.fixed or arm.settings or len(plan.arms) == 1:
            yield arm.name, {**arm.settings, **arm.fixed}


def _loader(tiles: TileSet, config: TrialConfig) -> BatchLoader:
    return BatchLoader(
        tiles.train, config.batch_size, config.seed, flip=config.data.flip, rotate=config.data.rotate
    )
