"""A home that was moved or copied: MLflow stores absolute paths of artifacts, which are made true again.

Only for the database file of a home. A server that several machines use has a place of its own for artifacts.
"""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 60


def follow_home(database: Path, artifacts: Path) -> int:
    """Let the experiments in `database` have their artifacts below `artifacts`, where these are; returns how
    many were changed.

    An experiment whose folder is not there keeps the place that it has.
    """
    if not database.exists():
        return 0
    with contextlib.closing(sqlite3.connect(database, timeout=TIMEOUT_S)) as store, store:
        tables = {name for (name,) in store.execute("select name from sqlite_master where type = 'table'")}
        if not {"experiments", "runs"} <= tables:  # it is being made
            return 0
        moved = 0
        for experiment, place in store.execute("select experiment_id, artifact_location from experiments"):
            folder = _folder_now(place, artifacts)
            if folder is None or folder.as_uri() == place:
                continue
            store.execute(
                "update experiments set artifact_location = ? where experiment_id = ?",
                (folder.as_uri(), experiment),
            )
            store.execute(
                "update runs set artifact_uri = ? || substr(artifact_uri, ?) "
                "where experiment_id = ? and substr(artifact_uri, 1, ?) = ?",
                (folder.as_uri(), len(place) + 1, experiment, len(place) + 1, f"{place}/"),
            )
            moved += 1
        return moved


def _folder_now(place: str | None, artifacts: Path) -> Path | None:
    """Where an experiment's folder is in this home; None if it is not, or was never in a home."""
    then = Path(unquote(urlsplit(place or "").path))
    if not (place or "").startswith("file:") or then.parent.name != artifacts.name:
        return None
    now = artifacts / then.name
    return now if now.is_dir() else None
