"""Pictures for the page, as data URIs: real tiles, and what trials made of them."""

import base64
import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import FrozenTrial
from PIL import Image

from data_io.errors import DataError
from sweep.errors import UserError
from sweep.report.quality import QualityTable
from sweep.store.home import Home
from sweep.store.optuna_internals import storage_of
from sweep.store.trials import TrialView
from sweep.study import Plan

if TYPE_CHECKING:
    from torch import Tensor

    from data_io import TileSet

log = logging.getLogger(__name__)

TILES = 24
ARM_TILES = 18
ARM_COLUMNS = 6
COLUMNS = 12
GAP = 2
MAX_WIDTH = 1200


@dataclass(frozen=True)
class Picture:
    """uri is empty where the trial left no picture."""

    title: str
    trial: TrialView
    uri: str


def contact_sheet(home: Home, plan: Plan | None, data_hash: str) -> str:
    """Training tiles, evenly spaced, as a data URI; empty where the data is not here, or is other data."""
    if plan is None:
        return ""
    try:
        tiles = _prepared(home, plan)
    except (DataError, OSError) as error:
        log.info("no contact sheet: %s", error)
        return ""
    if tiles.content_hash != data_hash or len(tiles.train) == 0:
        return ""
    return _uri(_sheet(_spread(tiles.train, TILES), COLUMNS))


@dataclass(frozen=True)
class ArmSamples:
    """Samples of the best trial of a group, or real test tiles (trial is None). uri is empty where there are
    none, for which reason is given."""

    title: str
    trial: int | None
    run_id: str
    uri: str
    reason: str = ""


def samples_by_arm(
    home: Home, study: str, plan: Plan | None, table: QualityTable, data_hash: str
) -> list[ArmSamples]:
    """Real test tiles first, then as many samples of the best model of each group, from the same latents."""
    if not table.columns:
        return []
    from sweep.report.samples import draw_tiles, load_model

    real = ArmSamples("real test tiles", None, "", "", "the data is not here any more")
    if plan is not None:
        with contextlib.suppress(DataError, OSError):
            tiles = _prepared(home, plan)
            if tiles.content_hash == data_hash:
                real = replace(real, uri=_uri(_sheet(_spread(tiles.test, ARM_TILES), ARM_COLUMNS)), reason="")
    shown = [real]
    for column in table.columns:
        uri, reason = "", ""
        try:
            drawn = draw_tiles(load_model(home, study, column.trial), ARM_TILES, seed=0)
            uri = _uri(_sheet([tile.numpy() for tile in drawn], ARM_COLUMNS))
        except UserError:
            reason = "its weights are not here any more"
        title = f"{table.by} {column.group}" if table.by not in ("", "arm") else column.group
        shown.append(ArmSamples(title, column.trial, column.run_id, uri, reason))
    return shown


def side_by_side(home: Home, study: optuna.Study, picks: Sequence[tuple[str, TrialView]]) -> list[Picture]:
    """Originals, reconstructions and samples of the picked trials."""
    return [Picture(why, trial, _picture(home, study, trial.stored)) for why, trial in picks]


def picked(trials: Sequence[tuple[str, TrialView]]) -> list[tuple[str, TrialView]]:
    """The best, a median and an unstable one of the chosen trials, as far as there are such."""
    kinds = dict(reversed(trials))
    unstable = [why for why in ("regressed", "diverged", "nonfinite") if why in kinds]
    return [(why, kinds[why]) for why in ("best", "median", *unstable[:1]) if why in kinds]


def _prepared(home: Home, plan: Plan) -> "TileSet":
    from data_io import prepare

    return prepare(plan.base.data, home.cache)


def _spread(tiles: "Tensor", count: int) -> list[NDArray[np.uint8]]:
    """(n, 3, H, H) uint8 -> `count` of them, evenly spaced, or all."""
    count = min(count, len(tiles))
    return [tiles[k * len(tiles) // count].numpy() for k in range(count)]


def _sheet(tiles: Sequence[NDArray[np.uint8]], columns: int) -> Image.Image:
    """Tiles (3, H, H) in rows, on white."""
    side = tiles[0].shape[1] + GAP
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * side + GAP, min(len(tiles), columns) * side + GAP, 3), 255, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        y, x = GAP + index // columns * side, GAP + index % columns * side
        sheet[y : y + side - GAP, x : x + side - GAP] = tile.transpose(1, 2, 0)
    return Image.fromarray(sheet)


def _picture(home: Home, study: optuna.Study, trial: FrozenTrial) -> str:
    metas = [
        m for m in get_all_artifact_meta(trial, storage=storage_of(study)) if m.mimetype.startswith("image/")
    ]
    if not metas:
        return ""
    try:
        with Image.open(home.optuna_artifacts / metas[-1].artifact_id) as image:
            return _uri(image.convert("RGB"))
    except OSError as error:
        log.info("the picture of trial %d cannot be read: %s", trial.number, error)
        return ""


def _uri(image: Image.Image) -> str:
    if image.width > MAX_WIDTH:
        image = image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
