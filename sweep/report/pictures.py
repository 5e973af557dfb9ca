"""Pictures for the page, as data URIs: real tiles, and what trials made of them."""

import base64
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import FrozenTrial
from PIL import Image

from data_io.errors import DataError
from sweep.store.home import Home
from sweep.store.optuna_internals import storage_of
from sweep.store.trials import TrialView
from sweep.study import Plan

log = logging.getLogger(__name__)

TILES = 24
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
    from data_io import prepare

    try:
        tiles = prepare(plan.base.data, home.cache)
    except (DataError, OSError) as error:
        log.info("no contact sheet: %s", error)
        return ""
    if tiles.content_hash != data_hash or len(tiles.train) == 0:
        return ""
    count = min(TILES, len(tiles.train))
    picked = [tiles.train[k * len(tiles.train) // count].numpy().transpose(1, 2, 0) for k in range(count)]
    side = picked[0].shape[0] + GAP
    rows = -(-count // COLUMNS)
    sheet = np.full((rows * side + GAP, min(count, COLUMNS) * side + GAP, 3), 255, dtype=np.uint8)
    for index, tile in enumerate(picked):
        y, x = GAP + index // COLUMNS * side, GAP + index % COLUMNS * side
        sheet[y : y + side - GAP, x : x + side - GAP] = tile
    return _uri(Image.fromarray(sheet))


def side_by_side(home: Home, study: optuna.Study, picks: Sequence[tuple[str, TrialView]]) -> list[Picture]:
    """Originals, reconstructions and samples of the picked trials."""
    return [Picture(why, trial, _picture(home, study, trial.stored)) for why, trial in picks]


def picked(trials: Sequence[tuple[str, TrialView]]) -> list[tuple[str, TrialView]]:
    """The best, a median and an unstable one of the chosen trials, as far as there are such."""
    kinds = dict(reversed(trials))
    unstable = [why for why in ("regressed", "diverged", "nonfinite") if why in kinds]
    return [(why, kinds[why]) for why in ("best", "median", *unstable[:1]) if why in kinds]


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
