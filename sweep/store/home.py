"""The folder that holds everything a run writes."""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from data_io.errors import DataError
from data_io.home import find_home, lock_trouble
from sweep.errors import UserError
from sweep.store import secrets


@dataclass(frozen=True)
class Home:
    """`mlruns/` in the current directory, or where SWEEP_HOME says; absolute.

    storage, tracking: URLs of stores other than the sqlite files in it; both may hold a password.
    checkpoint_uri: where resumable state is kept for other machines (any fsspec URI).
    tracker: where a new study records its runs (`sweep.tracking.trackers`); None for the usual place. A study
        that exists knows its own.
    """

    root: Path
    storage: str | None = field(default=None, repr=False)
    tracking: str | None = field(default=None, repr=False)
    checkpoint_uri: str | None = field(default=None, repr=False)
    tracker: str | None = None

    @classmethod
    def find(
        cls,
        storage: str | None = None,
        tracking: str | None = None,
        checkpoint_uri: str | None = None,
        tracker: str | None = None,
    ) -> "Home":
        """The home that the arguments ask for, or else the environment: SWEEP_HOME, SWEEP_STORAGE, ...

        Raises:
            UserError: SWEEP_HOME or the address of the tracking store cannot be one.
        """
        secrets.hide(storage := storage or os.environ.get("SWEEP_STORAGE") or None)
        secrets.hide(tracking := tracking or os.environ.get("SWEEP_TRACKING_URI") or None)
        _check_tracking(tracking)
        return cls(
            root=_root(),
            storage=storage,
            tracking=tracking,
            checkpoint_uri=checkpoint_uri or os.environ.get("SWEEP_CHECKPOINT_URI") or None,
            tracker=tracker or os.environ.get("SWEEP_TRACKER") or None,
        )

    def create(self) -> "Home":
        """Make the folders.

        Raises:
            UserError: they cannot be written.
        """
        try:
            for folder in (
                self.artifacts,
                self.optuna_artifacts,
                self.checkpoints,
                self.spool,
                self.cache,
                self.logs,
            ):
                folder.mkdir(parents=True, exist_ok=True)
            trouble = lock_trouble(self.root)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.root} ({error.strerror}): make it writable, "
                "or name another folder in the environment variable SWEEP_HOME"
            ) from error
        if trouble:
            raise UserError(
                f"{trouble}: name a folder on a local disk in the environment variable SWEEP_HOME"
            )
        return self

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def optuna_artifacts(self) -> Path:
        return self.root / "optuna_artifacts"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def optuna_url(self) -> str:
        return self.storage or _sqlite(self.root / "optuna.db")

    @property
    def mlflow_url(self) -> str:
        return self.tracking or _sqlite(self.root / "mlflow.db")

    def has_stores(self) -> bool:
        if self.storage:
            return True
        with contextlib.suppress(OSError):
            return (self.root / "optuna.db").exists()
        return False

    def trial_folder(self, study: str, trial: int) -> Path:
        return self.checkpoints / study / str(trial)


def _sqlite(path: Path) -> str:
    """The URL of a database file, whatever its name holds: `%20`, `?` and `#` mean something in a URL."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string()


def _root() -> Path:
    try:
        return find_home()
    except DataError as error:
        raise UserError(str(error)) from error


def _check_tracking(address: str | None) -> None:
    if address is None:
        return
    scheme, found, _ = address.partition("://")
    if not found:
        raise UserError(
            f"the tracking store {secrets.redact(address)!r} is no address: "
            "write http://HOST:PORT for a server, or sqlite:////path/of/mlflow.db"
        )
    if scheme == "file":
        raise UserError(
            "the tracking store cannot be a folder of files: write http://HOST:PORT for a server, "
            "sqlite:////path/of/mlflow.db, or --tracker files"
        )
