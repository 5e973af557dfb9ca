"""The likelihood of held-out tiles under each arm's best model: computed for the report, kept beside it."""

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_io.errors import DataError
from sweep.errors import UserError
from sweep.report.quality import QualityTable, Score
from sweep.store.home import Home
from sweep.store.trials import TrialView
from sweep.study import Plan
from sweep.study.config import TrialConfig, with_settings

if TYPE_CHECKING:
    from data_io import TileSet

KEPT = "likelihood.json"
TILES = 64
SAMPLES = 64
MOST_SECONDS = 20.0
"""For one model: one that would take longer is left out."""


def with_likelihood(
    table: QualityTable,
    home: Home,
    study: str,
    plan: Plan | None,
    trials: Sequence[TrialView],
    data_hash: str,
) -> QualityTable:
    """The table with rows `nll` (nats an image) and `bits_per_dim` of the models that are still here.

    Of 64 test tiles with 64 latents each (`vae.quality.likelihood`): 1 to 2 s a model of the laptop scale,
    and nothing where it was computed before.
    """
    by_number = {trial.number: trial for trial in trials}
    added: dict[int, dict[str, Score]] = {}
    reasons: dict[str, list[int]] = {}
    for column in table.columns:
        try:
            added[column.trial] = _scores(home, study, plan, by_number[column.trial], data_hash)
        except (UserError, DataError, ValueError, OSError) as error:
            reasons.setdefault(str(error), []).append(column.trial)
    notes = [
        f"No likelihood of trial{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}: {reason}."
        for reason, found in reasons.items()
    ]
    return table.with_scores(added, notes)


def _scores(home: Home, study: str, plan: Plan | None, trial: TrialView, data_hash: str) -> dict[str, Score]:
    folder = home.trial_folder(study, trial.number)
    asked = {"tiles": TILES, "samples": SAMPLES, "data_hash": data_hash}
    found = _kept(folder / KEPT, asked)
    if found is None:
        found = _computed(home, study, plan, trial, data_hash)
        with contextlib.suppress(OSError):
            (folder / KEPT).write_text(json.dumps(asked | found), encoding="utf-8")
    return {name: Score(*found[name]) for name in ("nll", "bits_per_dim")}


def _kept(path: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.items() >= asked.items() else None


def _computed(home: Home, study: str, plan: Plan | None, trial: TrialView, data_hash: str) -> dict[str, Any]:
    """`nll` and `bits_per_dim`, each as value, low and high. Raises UserError with the reason where not."""
    from data_io.tiles.neighbours import neighbourhoods
    from sweep.report.samples import load_saved, model_of
    from vae.loss import likelihoods
    from vae.quality import bootstrap_mean
    from vae.quality.likelihood import negative_log_likelihood

    saved = load_saved(home, study, trial.number)
    if plan is None:
        raise UserError("the plan of the study was written by another version")
    config = with_settings(plan.base, {**trial.params, **trial.settings})
    tiles = _tiles(home, config, plan, data_hash)
    model, likelihood = model_of(saved), likelihoods.build(config.objective)
    if likelihood.state_dict().keys() != saved.get("likelihood", {}).keys():
        raise UserError("what its likelihood learned was not kept by the version that trained it")
    likelihood.load_state_dict(saved.get("likelihood", {}))
    rows = _spread(len(tiles.test))
    test, groups = tiles.test[rows], neighbourhoods(tiles, "test")[rows]
    began = time.monotonic()
    negative_log_likelihood(model, likelihood, config.objective, test, samples=2)
    expected = (time.monotonic() - began) * SAMPLES / 3  # the encoder counts as one of them
    if expected > MOST_SECONDS:
        raise UserError(f"it would take {expected:.0f} s")
    found = negative_log_likelihood(model, likelihood, config.objective, test, samples=SAMPLES)
    return {
        "nll": list(bootstrap_mean(found.nats, groups=groups)),
        "bits_per_dim": list(bootstrap_mean(found.bits_per_dim, groups=groups)),
    }


def _tiles(home: Home, config: TrialConfig, plan: Plan, data_hash: str) -> "TileSet":
    from data_io import prepare

    tiles = prepare(config.data, home.cache)
    if config.data == plan.base.data and tiles.content_hash != data_hash:
        raise UserError("the data is not that of the study any more")
    return tiles


def _spread(count: int) -> list[int]:
    """Evenly, because neighbours look alike."""
    most = min(TILES, count)
    return [k * count // most for k in range(most)]
